// SPDX-License-Identifier: Apache-2.0
#include "launcher/control_files.hpp"
#include "launcher/raw_calls.hpp"
#include "launcher/stage_functions.hpp"

#include <cerrno>
#include <csignal>

#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr int last_standard_signal = 31;

} // namespace

/// Only where it could not be created there. It has no children yet, and is still what the launcher is.
int enter_control_group(const ModuleStart& start) noexcept
{
    return start.control_group >= 0 ? write_control(start.control_group, "cgroup.procs", "0") : 0;
}

int reset_signals(const ModuleStart& /*start*/) noexcept
{
    struct sigaction action
    {};
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) {
        const bool fixed = number == SIGKILL || number == SIGSTOP;
        const bool of_glibc = number > last_standard_signal && number < SIGRTMIN; // it refuses to change them
        if (!fixed && !of_glibc && ::sigaction(number, &action, nullptr) != 0)
            return errno;
    }
    sigset_t none;
    ::sigemptyset(&none);
    return errno_of(::sigprocmask(SIG_SETMASK, &none, nullptr));
}

int start_session(const ModuleStart& /*start*/) noexcept
{
    return errno_of(::setsid());
}

/// What it starts in the background, in whichever session, stays its descendant; with its end it becomes the launcher's
/// child, which knows then that it must end (leftovers.hpp).
int become_subreaper(const ModuleStart& /*start*/) noexcept
{
    return errno_of(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
}

int set_descriptors(const ModuleStart& start) noexcept
{
    const int output = start.output >= 0 ? start.output : STDERR_FILENO;
    if (::dup2(start.null_device, STDIN_FILENO) < 0 || ::dup2(output, STDOUT_FILENO) < 0 ||
        ::dup2(output, STDERR_FILENO) < 0)
        return errno;
    // The two close at exec. What a stage opens must not run into a small RLIMIT_NOFILE because the launcher has much
    // open.
    return close_all_but(start.program, start.status);
}

int set_limits(const ModuleStart& start) noexcept
{
    for (const auto& limit : start.limits) {
        const struct rlimit64 value
        {
            limit.soft, limit.hard
        };
        if (::syscall(SYS_prlimit64, 0, limit.resource, &value, nullptr) != 0)
            return errno;
    }
    ::umask(start.umask);
    return 0;
}

int change_directory(const ModuleStart& start) noexcept
{
    return errno_of(::chdir(start.working_directory));
}

int set_parent_death_signal(const ModuleStart& start) noexcept
{
    if (start.parent == 0)
        return 0;
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return errno;
    return ::getppid() == start.parent ? 0 : ESRCH; // it died before the line above
}

} // namespace belay::launcher
