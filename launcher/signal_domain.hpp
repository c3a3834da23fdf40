// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

/// One Landlock domain around everything that Belay is and starts, which scopes signals and nothing else: kill(2) of -1
/// in there is SIGKILL for exactly Belay's own processes, all at once. That ends even those that fork and exit faster
/// than anybody could kill them one by one.
namespace belay::launcher {

/// Whether the domain would take nothing from any module: each of `plan` is kept from signalling others anyway.
bool wants_signal_domain(const LaunchPlan& plan) noexcept;

/// A module that may signal others, and could not in the domain of a predecessor; null: there is none.
const ProcessPlan* signals_others(const LaunchPlan& plan) noexcept;

/// Puts this process, and with it whoever it starts from now on, into a domain of its own. False where that is not
/// possible: Landlock before ABI 6, 16 domains already, no CAP_SYS_ADMIN. Once for a pid: domains nest, 16 deep.
bool enter_signal_domain() noexcept;

/// Whether kill(2) of -1 may be used: its first victims would have been init and this process's parent, and this
/// process, which is root and holds CAP_KILL, cannot reach them. Only in a domain that it or its predecessor by exec
/// entered: in a caller's, others are within reach.
bool reaches_nobody_else() noexcept;

} // namespace belay::launcher
