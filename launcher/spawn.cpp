// SPDX-License-Identifier: Apache-2.0
#include "launcher/spawn.hpp"

#include "launcher/stages.hpp"
#include "launcher/status_channel.hpp"

#include <array>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

struct Pipe
{
    FileDescriptor read, write;
};

tl::expected<Pipe, int> make_pipe() noexcept
{
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return tl::unexpected(errno);
    Pipe result{FileDescriptor{ends[0]}, FileDescriptor{ends[1]}};
    // Each end has flags of its own: the module's stays blocking.
    if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
        return tl::unexpected(errno);
    return result;
}

struct Child
{
    long pid; ///< as of fork(2)
    int pidfd = -1;
    bool misplaced = false; ///< it must go into its control group by itself
};

/// clone3(2), or, where a filter takes that away (RestrictNamespaces= of a unit does), clone(2), which knows no control
/// groups.
Child create(int control_group) noexcept
{
    Child child{};
    clone_args arguments{};
    arguments.flags = CLONE_PIDFD;
    arguments.pidfd = reinterpret_cast<std::uintptr_t>(&child.pidfd);
    arguments.exit_signal = SIGCHLD;
    if (control_group >= 0) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = static_cast<unsigned>(control_group);
    }
    child.pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child.pid >= 0 || errno != ENOSYS)
        return child;
    child.misplaced = control_group >= 0;
    child.pid = ::syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, nullptr, &child.pidfd, nullptr, nullptr);
    return child;
}

} // namespace

tl::expected<Spawned, int> spawn(const ModuleStart& start, bool with_output, int control_group) noexcept
{
    auto status = make_status_channel();
    if (!status)
        return tl::unexpected(status.error());
    auto output = with_output ? make_pipe() : tl::expected<Pipe, int>{};
    if (!output)
        return tl::unexpected(output.error());

    const auto child = create(control_group);
    if (child.pid < 0)
        return tl::unexpected(errno);
    if (child.pid == 0) {
        ModuleStart own = start;
        own.control_group = child.misplaced ? control_group : -1;
        if (with_output)
            own.output = output->write.get();
        own.status = status->child.get();
        become(own);
    }
    return Spawned{static_cast<pid_t>(child.pid), FileDescriptor{child.pidfd}, std::move(status->launcher),
                   std::move(output->read)};
}

} // namespace belay::launcher
