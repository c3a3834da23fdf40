// SPDX-License-Identifier: Apache-2.0
#include "launcher/capability_sets.hpp"
#include "launcher/io_priority.hpp"
#include "launcher/seccomp_filter.hpp"

#include <catch2/catch.hpp>

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belay::launcher;

namespace {

/// The errno of `call` in a child under the filter for `held`; 0 if it succeeded.
template <typename Call>
int errno_under_filter(CapabilityMask held, Subject subject, Call call)
{
    const auto filter = deny_list(held, subject);
    REQUIRE(filter);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto instructions = *filter;
        const sock_fprog program{static_cast<unsigned short>(instructions.size()), instructions.data()};
        if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
            ::_exit(255);
        ::_exit(call() < 0 ? errno : 0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

} // namespace

TEST_CASE("a module without capabilities is refused what it has no business with")
{
    const auto refused = [](auto call) { return errno_under_filter(0, Subject::module, call); };
    CHECK(refused([] { return ::unshare(CLONE_NEWUSER); }) == EPERM);
    CHECK(refused([] { return ::unshare(CLONE_NEWUSER | CLONE_NEWNET); }) == EPERM);
    CHECK(refused([] { return ::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr); }) ==
          EPERM);
    CHECK(refused([] { return ::syscall(SYS_clone3, nullptr, 0); }) == ENOSYS);
    CHECK(refused([] { return ::setns(-1, 0); }) == EPERM);
    CHECK(refused([] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }) == EPERM);
    CHECK(refused([] { return ::syscall(SYS_process_vm_writev, 0, nullptr, 0, nullptr, 0, 0); }) == EPERM);
    CHECK(refused([] { return ::syscall(SYS_bpf, 0, nullptr, 0); }) == EPERM);
    CHECK(refused([] { return ::syscall(SYS_io_uring_setup, 0, nullptr); }) == EPERM);
    CHECK(refused([] { return ::syscall(SYS_finit_module, -1, "", 0); }) == EPERM);
    CHECK(refused([] { return ::syscall(SYS_kexec_file_load, -1, -1, 0, "", 0); }) == EPERM);
    CHECK(refused([] { return ::mount("none", "/proc", "proc", 0, nullptr); }) == EPERM);
    CHECK(refused([] { return ::syscall(SYS_prlimit64, ::getppid(), RLIMIT_CPU, nullptr, nullptr); }) == EPERM);
    CHECK(refused([] { return ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); }) == EPERM);
    CHECK(refused([] { return ::syscall(SYS_prctl, 0x100000000UL | PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); }) == EPERM);
    CHECK(refused([] { return ::ioctl(0, TIOCSTI, "x"); }) == EPERM);
    CHECK(refused([] { return ::syscall(SYS_ioctl, 0, 0x100000000UL | TIOCSTI, "x"); }) == EPERM);
}

TEST_CASE("a module does not reach the other processes of its user by one call, but itself and its group")
{
    constexpr auto idle = belay::io_priority(belay::io_idle, 0);
    const auto error = [](auto call) { return errno_under_filter(0, Subject::module, call); };
    CHECK(error([] { return ::setpriority(PRIO_USER, 0, 19); }) == EPERM);
    CHECK(error([] { return ::syscall(SYS_setpriority, 0x100000000L | PRIO_USER, 0, 19); }) == EPERM);
    CHECK(error([] { return ::setpriority(PRIO_PGRP, static_cast<id_t>(::getpgrp()), 19); }) == EPERM);
    CHECK(error([] { return ::syscall(SYS_ioprio_set, belay::io_of_user, 0, idle); }) == EPERM);
    CHECK(error([] { return ::syscall(SYS_ioprio_set, belay::io_of_group, ::getpgrp(), idle); }) == EPERM);
    CHECK(error([] { return ::kill(-1, 0); }) == EPERM);
    CHECK(error([] { return ::syscall(SYS_kill, 0xffffffffL, 0); }) == EPERM);
    CHECK(error([] { return ::syscall(SYS_migrate_pages, ::getppid(), 0, nullptr, nullptr); }) == EPERM);
    CHECK(error([] { return ::syscall(SYS_move_pages, ::getppid(), 0, nullptr, nullptr, nullptr, 0); }) == EPERM);
    CHECK(error([] { return ::setpriority(PRIO_PROCESS, 0, 19); }) == 0);
    CHECK(error([] { return ::setpgid(0, 0) == 0 ? ::setpriority(PRIO_PGRP, 0, 19) : -1; }) == 0);
    CHECK(error([] { return ::syscall(SYS_ioprio_set, belay::io_of_process, 0, idle); }) == 0);
    CHECK(error([] { return ::kill(0, 0); }) == 0);
    CHECK(error([] { return ::kill(::getpid(), 0); }) == 0);
    CHECK(errno_under_filter(capability(CAP_SYS_NICE), Subject::module, [] {
              return ::setpgid(0, 0) == 0 ? ::setpriority(PRIO_PGRP, static_cast<id_t>(::getpgrp()), 19) : -1;
          }) == 0);
}

TEST_CASE("what modules live on is allowed")
{
    const auto error = [](auto call) { return errno_under_filter(0, Subject::module, call); };
    CHECK(error([] { return ::getppid(); }) == 0);
    CHECK(error([] {
              const pid_t child = ::fork();
              if (child == 0)
                  ::_exit(0);
              return ::waitpid(child, nullptr, 0);
          }) == 0);
    CHECK(error([] { return ::unshare(CLONE_FILES); }) == 0);
    CHECK(error([] { return ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }) == 0);
    CHECK(error([] { return ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0); }) == 0);
    CHECK(error([] {
              rlimit limit{};
              return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? ::setrlimit(RLIMIT_NOFILE, &limit) : -1;
          }) == 0);
}

TEST_CASE("a capability opens what it is for, and nothing else")
{
    // Past the filter the kernel answers for itself: EBADF, EFAULT or EINVAL, not EPERM of the filter.
    const auto setns = [] { return ::setns(-1, 0); };
    const auto module = [] { return ::syscall(SYS_finit_module, -1, "", 0); };
    CHECK(errno_under_filter(capability(CAP_SYS_ADMIN), Subject::module, setns) == EBADF);
    CHECK(errno_under_filter(capability(CAP_SYS_MODULE), Subject::module, setns) == EPERM);
    CHECK(errno_under_filter(capability(CAP_NET_RAW), Subject::module, module) == EPERM);
    CHECK(errno_under_filter(0, Subject::launcher, [] { return ::syscall(SYS_clone3, nullptr, 0); }) == EINVAL);
    CHECK(errno_under_filter(0, Subject::launcher, setns) == ENOSYS);
}

TEST_CASE("each capability can be held alone or all together")
{
    for (int number = 0; (all_capabilities() & capability(number)) != 0; ++number)
        CHECK(deny_list(capability(number), Subject::module));
    const auto none = deny_list(0, Subject::module);
    const auto all = deny_list(all_capabilities(), Subject::module);
    REQUIRE(none);
    REQUIRE(all);
    CHECK(all->size() < none->size());
}
