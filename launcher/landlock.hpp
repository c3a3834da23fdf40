// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"

#include <tl/expected.hpp>

#include <span>
#include <string>

/// landlock(7): what keeps processes of one user apart, and from running what they wrote.
namespace belay::launcher {

/// What the kernel's Landlock can do, by its ABI.
constexpr int landlock_ptrace_abi = 1; ///< no ptrace(2) of, and no /proc/PID/mem … of, who is outside of the domain
constexpr int landlock_scopes_abi = 6; ///< no signal to, and no abstract socket of, who is outside

/// The running kernel's; 0: it has none, or it is switched off.
int landlock_abi() noexcept;

/// A rule set for landlock_restrict_self(2): the process and what it starts are a domain of their own (see above), and,
/// unless `executable_below` is empty, execute only those files and what is below those directories; a missing one is
/// left out. No descriptor if `abi` is 0. The error is a sentence.
tl::expected<FileDescriptor, std::string> make_ruleset(int abi, std::span<const std::string> executable_below);

} // namespace belay::launcher
