// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/descriptor.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <string>

/// Two managers that serve one prefix of one broker answer each other's modules. What identifies a charger is therefore
/// that pair, whatever its configuration, its prefix of files, or its user are: a lock on one byte of a file, and which
/// byte is decided by the pair. A lock of that kind (fcntl(2), F_SETLK) belongs to a process, is kept when it executes
/// another program, and tells whose it is.
namespace belay::manager {

/// A number of this machine's, the same for the same broker and prefix; a broker by TCP is another one in another
/// network namespace.
[[nodiscard]] std::int64_t instance_number(const config::Broker& broker);

struct Claim
{
    FileDescriptor file;  ///< not close-on-exec: the claim holds as long as this process keeps it open
    std::string unproven; ///< why nobody can tell whether there is another one; empty if it could be told
};

/// The error names the process that is there already. Root claims in /run/everest, which it creates if it must; anybody
/// else in $XDG_RUNTIME_DIR/everest or /tmp/everest-UID, among processes of the same user.
[[nodiscard]] tl::expected<Claim, std::string> claim_instance(const config::Broker& broker);

} // namespace belay::manager
