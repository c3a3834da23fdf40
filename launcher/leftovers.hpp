// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include <sys/types.h>

/// What modules started and left behind. Each module is the subreaper of its own; when it ends, they are children of
/// this process, which is the next one. Nothing here allocates.
namespace belay::launcher {

/// Sends SIGKILL to every child of this process but `spared`; 0 in there is nobody. `scratch`: room for the children;
/// those beyond it are found the next time. Whoever they leave behind becomes a child when they have ended.
void kill_children(std::span<const pid_t> spared, std::span<pid_t> scratch) noexcept;

/// How to reach everybody at the end.
enum class Reach
{
    children,  ///< one by one: whoever forks and exits faster than that gets away until the time is up
    everybody, ///< kill(2) of -1, where nobody else can be reached (signal_domain.hpp)
};

/// Kills and reaps every child of this process but `spared`, and as their subreaper all that their end leaves to it,
/// until none is left or `timeout_ms` have passed. True if none is left. Whoever of `spared` has ended becomes 0.
/// Expects SIGCHLD to be blocked, and takes no other signal.
bool kill_leftovers(std::span<pid_t> spared, int timeout_ms, Reach reach) noexcept;

} // namespace belay::launcher
