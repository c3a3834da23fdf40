// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace belay::manager {

/// The unit of systemd's that a process with this /proc/PID/cgroup is in, as sd_pid_get_unit(3) tells: the first part
/// of the cgroup's path that is no slice. Empty: none, such as without systemd.
[[nodiscard]] std::string unit_of(std::string_view cgroups);

/// This process's.
[[nodiscard]] std::string own_unit();

} // namespace belay::manager
