// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "launcher/module_start.hpp"

#include <tl/expected.hpp>

#include <sys/types.h>

namespace belay::launcher {

/// A child between fork and exec, or after it.
struct Spawned
{
    pid_t pid = 0;
    FileDescriptor pidfd;
    FileDescriptor status; ///< for receive_status() of status_channel.hpp. Non-blocking
    FileDescriptor output; ///< the read end of standard output and error, if asked for. Non-blocking
};

/// Creates the child, which becomes `start` (stages.hpp); does not wait for it. With clone3(2), or clone(2) where that
/// is taken away, and a copy of the memory: in a shared one (vfork), a child that another process of its new user stops
/// would stop the launcher with it. `with_output`: through a pipe; otherwise as `start` says. `control_group`: the
/// directory of the cgroup that it begins in; -1: this process's. Allocates nothing. The error is an errno.
tl::expected<Spawned, int> spawn(const ModuleStart& start, bool with_output, int control_group = -1) noexcept;

} // namespace belay::launcher
