// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/plan.hpp"
#include "manager/visitor.hpp"

#include <tl/expected.hpp>

#include <string>
#include <vector>

/// Where the broker is.
namespace belay::manager {

/// "the Unix socket /run/mosquitto/mosquitto.sock" or "localhost, TCP port 1883".
[[nodiscard]] std::string describe(const config::Broker& broker);

/// The addresses of a host name, numeric, in the order of getaddrinfo(3). Blocks for as long as the resolver does, but
/// not for `localhost`, which no resolver is asked about (RFC 6761, 6.3).
tl::expected<std::vector<std::string>, std::string> resolve(const std::string& host);

/// Why `visitor` may not connect to the broker's socket: the mode and owner of what is in the way, who it is, and the
/// remedy. Empty if nothing is known to be in the way. Where an access control list (acl(5)) decides, nothing is said.
[[nodiscard]] std::string explain_denied(const std::string& socket_path, const Visitor& visitor);

/// A sentence for each user and set of groups of `plan` that may not connect: "slac, store: …".
[[nodiscard]] std::vector<std::string> denied_modules(const std::string& socket_path, const launcher::LaunchPlan& plan);

} // namespace belay::manager
