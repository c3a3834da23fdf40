// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <string>
#include <string_view>

#include <sys/types.h>

/// core(5): what became of the memory of a process that a signal ended.
namespace belay::manager {

/// The first line of /proc/sys/kernel/core_pattern; empty if it cannot be read.
[[nodiscard]] std::string core_pattern();

/// For the end of a sentence on how the process ended: " (`coredumpctl info 4711`)", " (/home/everest/core.4711)", or
/// ", no core: LimitCORE is 0"; empty if there is nothing to say. `status` is wait(2)'s, `pattern` is core_pattern().
[[nodiscard]] std::string explain_core(int status, pid_t pid, const launcher::ProcessPlan& plan,
                                       std::string_view pattern);

} // namespace belay::manager
