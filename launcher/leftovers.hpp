// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace belay::launcher {

/// Kills and reaps every child of this process, and as their subreaper all that their end leaves to it, until none is
/// left or `timeout_ms` have passed. True if none is left. Expects SIGCHLD in `signal_descriptor`; allocates nothing.
bool kill_leftovers(int signal_descriptor, int timeout_ms) noexcept;

} // namespace belay::launcher
