// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

namespace belay::config {

enum class ControlGroup
{
    of_module,
    none, ///< the manager's, which is with the launcher
};

/// Takes out of `process` what cannot be set because no control group, or not that controller, is delegated to this
/// process, and says so. What is left will be set, or nothing starts.
void settle_control_group(const PlanOptions& options, Diagnostics& diagnostics, ControlGroup group,
                          launcher::ProcessPlan& process);

} // namespace belay::config
