// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "launcher/stages.hpp"

#include <tl/expected.hpp>

#include <cerrno>

/// What a child on its way to exec tells the launcher: at most one listener of its system call filter, and a
/// StageFailure if it does not execute. A socketpair(2), because descriptors travel over sockets only; nobody but the
/// child holds the other end, and it closes at exec. Allocates nothing.
namespace belay::launcher {

struct StatusChannel
{
    FileDescriptor launcher; ///< non-blocking
    FileDescriptor child;
};

tl::expected<StatusChannel, int> make_status_channel() noexcept;

/// The child's side: hands over what seccomp_unotify(2) gave it. 0 or an errno.
int send_listener(int status, int listener) noexcept;

struct Status
{
    enum class Kind
    {
        nothing, ///< for now
        listener,
        failed,
        executes
    };
    Kind kind = Kind::nothing;
    FileDescriptor listener;
    StageFailure failure{StageId::system_call_filter, EPROTO}; ///< or no listener was handed over
};

/// The launcher's side: the next of what the child said. A listener for which the launcher has no descriptor left is a
/// failure of the filter's stage, although the child may execute by then.
Status receive_status(int status) noexcept;

} // namespace belay::launcher
