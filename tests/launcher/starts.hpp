// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"
#include "launcher/stages.hpp"

#include <optional>
#include <string>

#include <sys/types.h>

struct Outcome
{
    std::string output; ///< standard output and error
    std::optional<belay::launcher::StageFailure> failure;
    int status = 0;                ///< wait(2)'s
    std::int32_t system_call = -1; ///< what the program was killed for; -1: nothing
};

/// Starts what `plan` says, as the launcher does, and waits for its end. `out_of_reach`: see ModuleStart;
/// `control_group`: see spawn(). Needs root.
Outcome start(const belay::launcher::ProcessPlan& plan, pid_t out_of_reach = 0, int control_group = -1);
