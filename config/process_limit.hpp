// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

namespace belay::config {

/// 2048, or less where half of what the machine has room for, or what this process may give, is less.
rlim_t usual_process_limit();

/// Gives `process` the LimitNPROC `limit`, unless it has one. A user's processes, threads included, must not fill the
/// process table.
void limit_processes(launcher::ProcessPlan& process, rlim_t limit);

} // namespace belay::config
