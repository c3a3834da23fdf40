// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace belay::manager {

/// Kills every process that this one may signal, but itself. Only in a signal domain (launcher/signal_domain.hpp):
/// there these are the modules of its own user and what they have started, wherever it hides, and nobody else. That is
/// for the time after the launcher, which otherwise ends whom a module leaves behind.
void kill_all_within_reach();

} // namespace belay::manager
