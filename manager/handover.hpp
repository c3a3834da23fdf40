// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "launcher/plan.hpp"

#include <tl/expected.hpp>

#include <string>

/// The step from one privileged program to two processes: the launcher keeps the pid, the manager is its child.
namespace belay::manager {

/// Closes what was inherited besides standard input, output and error, and opens those on /dev/null where they are not:
/// nothing that a caller forgot reaches the manager, and no file becomes standard output. The error is a sentence.
tl::expected<void, std::string> settle_descriptors();

/// Keeps signals to stop or reload waiting, until the launcher hears of them. The error is a sentence.
tl::expected<void, std::string> hold_signals();

/// A memfd with `plan` in it and all seals set. The error is a sentence.
tl::expected<FileDescriptor, std::string> seal(const launcher::LaunchPlan& plan);

/// The capabilities that this process holds, and thus can grant. The error is a sentence.
tl::expected<launcher::CapabilityMask, std::string> held_capabilities();

/// The path of this program. The error is a sentence.
tl::expected<std::string, std::string> this_program();

/// libexec/everest/launcher beside the bin/ of this program. The error is a sentence.
tl::expected<std::string, std::string> find_launcher();

/// Forks. In the parent becomes the launcher and does not return, but with an error; in the child drops to
/// `plan.manager` and returns the socket to the launcher. Signals must be held, and wait for the launcher.
tl::expected<FileDescriptor, std::string> split(const launcher::LaunchPlan& plan, const std::string& launcher);

} // namespace belay::manager
