// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/plan.hpp"
#include "manager/options.hpp"
#include "manager/status_fifo.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace belay::manager {

/// What the manager inherits from before the drop.
struct Inheritance
{
    FileDescriptor control;                                 ///< SOCK_SEQPACKET to the launcher
    StatusFifo status_fifo;                                 ///< MANAGER_INITIALIZING is written
    FileDescriptor timeline;                                ///< may be none
    std::map<std::uint32_t, FileDescriptor> notify_sockets; ///< of modules that will say WATCHDOG=1
    std::string last_reset; ///< why the machine was reset before this start; empty: it was not
};

/// The unprivileged half, in one thread and one sd-event loop, until everything is stopped. Must be called after
/// drop_privileges(). Tells the launcher to finish with the same code that it returns.
int run(const config::Configuration& configuration, const launcher::LaunchPlan& plan, const Options& options,
        Inheritance inheritance);

} // namespace belay::manager
