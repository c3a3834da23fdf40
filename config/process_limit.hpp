// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

namespace belay::config {

/// Gives `process` a LimitNPROC, unless it has one: 2048, or less where half of what the machine has room for, or what
/// this process may give, is less. A user's processes, threads included, must not fill the process table.
void limit_processes(launcher::ProcessPlan& process);

} // namespace belay::config
