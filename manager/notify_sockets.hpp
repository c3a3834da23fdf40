// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/plan.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <map>
#include <string>

namespace belay::manager {

/// Makes a socket for each module that has `liveness: {watchdog: …}` and tells the module of it by its environment in
/// `plan`: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID. They lie in a new directory below $RUNTIME_DIRECTORY or /run,
/// which the launcher removes in the end; only the module's user can write to it. What a killed launcher left there,
/// the next manager for the same broker and prefix removes. `claimed`: that this one is the only one is proven
/// (instance.hpp). By module number; the error is a sentence.
tl::expected<std::map<std::uint32_t, FileDescriptor>, std::string>
make_notify_sockets(const config::Configuration& configuration, const std::map<std::string, std::string>& environment,
                    launcher::LaunchPlan& plan, bool claimed);

} // namespace belay::manager
