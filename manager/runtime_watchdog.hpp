// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace belay::manager {

/// A sentence on whether systemd feeds a hardware watchdog itself (RuntimeWatchdogSec= of systemd-system.conf(5)), as
/// it says over D-Bus.
[[nodiscard]] std::string describe_runtime_watchdog();

} // namespace belay::manager
