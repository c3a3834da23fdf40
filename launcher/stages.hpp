// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/module_start.hpp"
#include "launcher/plan.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <string>

/// What happens between fork and exec, in order. One table (stages.cpp) is the code, the documentation and the texts of
/// the errors; what to do about them is in remedies.cpp.
namespace belay::launcher {

enum class StageId : std::uint32_t
{
    control_group,
    signals,
    session,
    subreaper,
    descriptors,
    limits,
    priorities,
    keyring,
    namespaces,
    mounts,
    groups,
    group_id,
    bounding_set,
    user_id,
    capabilities,
    ambient_set,
    securebits,
    final_capabilities,
    working_directory,
    no_new_privileges,
    parent_death,
    landlock,
    verification,
    system_call_filter,
    execution,
    fork, ///< in the launcher: no child came to be
};

struct StageFailure
{
    StageId stage = StageId::fork;
    int error = 0; ///< errno
};

/// What the stage does, as in "could not …": "set the supplementary groups". Any number is safe; an unknown one is
/// called so.
const char* describe(StageId stage) noexcept;

/// "could not set the supplementary groups: Operation not permitted (EPERM): …what to do…"
std::string explain(const StageFailure& failure);

/// The child's side of a start, whole. Runs between fork and exec: no allocation, no locks, no NSS, no exceptions. Does
/// not return: either the program executes, or a StageFailure is written to `start.status` and nothing was executed.
[[noreturn]] void become(const ModuleStart& start) noexcept;

/// Turns this process into `plan` for good, but for the program: the manager's way. The same stages as for a module,
/// without session, descriptors and parent-death signal. On an error the process is in between and must end.
tl::expected<void, StageFailure> drop_privileges(const ProcessPlan& plan);

} // namespace belay::launcher
