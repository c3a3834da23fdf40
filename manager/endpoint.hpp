// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

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

/// Why this user may not connect to the broker's socket: its mode, its owner, who we are, and the remedy.
[[nodiscard]] std::string explain_denied(const std::string& socket_path);

} // namespace belay::manager
