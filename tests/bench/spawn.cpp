// SPDX-License-Identifier: Apache-2.0
//
// What a start costs: the launcher's spawn() against a loop of vfork(2) and exec, and against loops that make the
// launcher's system calls besides, straight and unchecked: one by vfork(2), too, and one by clone3(2) with a copy of
// the memory, as the launcher. In turn, so that a machine that slows down does so for all; with the privileges and
// under the filter that the launcher keeps.
//     spawn PROGRAM UID GID COUNT     four lines: a name, the median of µs from before the fork until PROGRAM, which
//                                     ends at once when given --exit, executes
// Without root: as who calls it, with all that can be done then.

#include "launcher/spawn.hpp"

#include "launcher/landlock.hpp"
#include "launcher/own_privileges.hpp"
#include "launcher/preparation.hpp"
#include "launcher/status_channel.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace belay;
using namespace belay::launcher;
using Clock = std::chrono::steady_clock;

constexpr std::array places{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt"};

ProcessPlan make_plan(const char* program, uid_t uid, gid_t gid)
{
    ProcessPlan plan;
    plan.id = "child";
    plan.program = program;
    plan.arguments = {program, "--exit"};
    plan.environment = {"PATH=/usr/bin:/bin"};
    plan.working_directory = "/";
    plan.uid = uid;
    plan.gid = gid;
    plan.groups = {gid};
    plan.change_identity = ::geteuid() == 0;
    plan.privileges = plan.change_identity ? Privileges::exact : Privileges::kept;
    plan.limits = {{RLIMIT_NPROC, 2048, 2048}};
    plan.landlock.isolate = true;
    plan.landlock.handled_fs = LANDLOCK_ACCESS_FS_EXECUTE;
    for (const auto* place : places)
        plan.landlock.paths.push_back({place, LANDLOCK_ACCESS_FS_EXECUTE});
    plan.landlock.paths.push_back({program, LANDLOCK_ACCESS_FS_EXECUTE});
    return plan;
}

void wait_for(pid_t pid)
{
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid || status != 0)
        throw std::runtime_error{"the program did not run: status " + std::to_string(status)};
}

/// One way to start the program; returns its pid when it executes.
using Start = pid_t (*)(ModuleStart&);

pid_t bare(ModuleStart& start)
{
    const pid_t pid = ::vfork();
    if (pid == 0) {
        ::syscall(SYS_execveat, start.program, "", start.arguments, start.environment, AT_EMPTY_PATH);
        ::_exit(127);
    }
    return pid;
}

void no_signals()
{
    struct sigaction action
    {};
    for (int number = 1; number < NSIG; ++number)
        ::sigaction(number, &action, nullptr);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void restrict_files(const ModuleStart& start)
{
    LandlockAttributes attributes;
    attributes.handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | landlock_refer;
    attributes.scoped = landlock_scope_abstract_unix_socket | landlock_scope_signal;
    const auto ruleset = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0));
    const auto allow = [&](const char* path, std::uint64_t access) {
        const int file = ::open(path, O_PATH | O_CLOEXEC);
        struct stat status
        {};
        ::fstat(file, &status);
        const landlock_path_beneath_attr rule{access, file};
        ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
        ::close(file);
    };
    allow("/", landlock_refer);
    for (const auto& rule : start.landlock->paths)
        allow(rule.path.c_str(), rule.access);
    ::syscall(SYS_landlock_restrict_self, ruleset, 0);
    ::close(ruleset);
}

void set_capability_sets(std::uint32_t working)
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const std::array<__user_cap_data_struct, 2> data{__user_cap_data_struct{working, working, 0}};
    ::syscall(SYS_capset, &header, data.data());
}

void drop(const ModuleStart& start)
{
    constexpr int last = 41;
    constexpr unsigned long securebits = 0xef;
    for (int number = 0; number < last; ++number)
        if (::prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1)
            ::prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
    ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    ::syscall(SYS_setresuid, start.uid, start.uid, start.uid);
    set_capability_sets(1U << CAP_SETPCAP);
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    ::prctl(PR_SET_SECUREBITS, securebits, 0, 0, 0);
    set_capability_sets(0);
}

/// The verification's calls.
void read_back(const ModuleStart& start)
{
    std::array<unsigned, 3> ids{};
    ::syscall(SYS_getresuid, &ids[0], &ids[1], &ids[2]);
    ::syscall(SYS_getresgid, &ids[0], &ids[1], &ids[2]);
    ::syscall(SYS_getgroups, ids.size(), ids.data());
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> data{};
    ::syscall(SYS_capget, &header, data.data());
    constexpr int last = 41;
    for (int number = 0; number < last; ++number) {
        ::prctl(PR_CAPBSET_READ, number, 0, 0, 0);
        ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0, 0);
    }
    ::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
    ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
    ::syscall(SYS_setresuid, -1, start.former_uid, -1);
    ::syscall(SYS_setresgid, -1, start.former_gid, -1);
    struct rlimit64 limit
    {};
    ::syscall(SYS_prlimit64, 0, RLIMIT_NPROC, nullptr, &limit);
    ::umask(start.umask);
    int value = 0;
    ::prctl(PR_GET_PDEATHSIG, &value, 0, 0, 0);
    ::prctl(PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0);
}

[[noreturn]] void make_calls(const ModuleStart& start, int status)
{
    no_signals();
    ::setsid();
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        ::dup2(standard == STDIN_FILENO ? start.null_device : STDERR_FILENO, standard);
    ::syscall(SYS_close_range, status + 1, ~0U, 0);
    const struct rlimit64 processes
    {
        2048, 2048
    };
    ::syscall(SYS_prlimit64, 0, RLIMIT_NPROC, &processes, nullptr);
    ::umask(start.umask);
    if (start.change_identity) {
        ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr);
        ::syscall(SYS_setgroups, start.groups.size(), start.groups.data());
        ::syscall(SYS_setresgid, start.gid, start.gid, start.gid);
        drop(start);
    }
    ::chdir("/") == 0 ? void() : ::_exit(126);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    ::getppid();
    restrict_files(start);
    read_back(start);
    ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &start.filter);
    ::syscall(SYS_execveat, start.program, "", start.arguments, start.environment, AT_EMPTY_PATH);
    ::_exit(127);
}

using Ends = std::array<int, 2>;

Ends make_status()
{
    Ends ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        throw std::runtime_error{std::string{"socketpair: "} + std::strerror(errno)};
    return ends;
}

pid_t shared(ModuleStart& start)
{
    const auto status = make_status();
    const pid_t pid = ::vfork();
    if (pid == 0)
        make_calls(start, status[1]);
    for (const int end : status)
        ::close(end);
    return pid;
}

void wait_until_readable(int descriptor)
{
    pollfd polled{descriptor, POLLIN, 0};
    while (::poll(&polled, 1, -1) < 0) {
    }
}

pid_t copied(ModuleStart& start)
{
    const auto status = make_status();
    clone_args arguments{};
    arguments.exit_signal = SIGCHLD;
    const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof arguments));
    if (pid == 0)
        make_calls(start, status[1]);
    ::close(status[1]);
    wait_until_readable(status[0]); // its end closes at exec
    ::close(status[0]);
    return pid;
}

pid_t by_launcher(ModuleStart& start)
{
    auto spawned = spawn(start, false);
    if (!spawned)
        throw std::runtime_error{std::string{"spawn: "} + std::strerror(spawned.error())};
    wait_until_readable(spawned->status.get());
    if (const auto status = receive_status(spawned->status.get()); status.kind != Status::Kind::executes)
        throw std::runtime_error{"the start failed at stage " + std::to_string(static_cast<int>(status.failure.stage)) +
                                 ": " + std::strerror(status.failure.error)};
    return spawned->pid;
}

struct Way
{
    const char* name;
    Start start;
    std::vector<double> us;
};

void measure(Way& way, ModuleStart& start)
{
    const auto before = Clock::now();
    const pid_t pid = way.start(start);
    way.us.push_back(std::chrono::duration<double, std::micro>(Clock::now() - before).count());
    wait_for(pid);
}

void run(char** arguments)
{
    const auto plan = make_plan(arguments[1], static_cast<uid_t>(std::stoul(arguments[2])),
                                static_cast<gid_t>(std::stoul(arguments[3])));
    auto filters = filters_of(plan, 0);
    if (!filters)
        throw std::runtime_error{"the system call filter could not be made"};
    PreparedStart prepared{plan, *filters};
    auto& start = prepared.start();
    start.program = ::open(plan.program.c_str(), O_PATH | O_CLOEXEC);
    start.null_device = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    start.parent = ::getpid();
    LaunchPlan whole;
    whole.modules.push_back(plan);
    if (const auto trimmed = trim_own_privileges(whole); !trimmed)
        throw std::runtime_error{trimmed.error()};
    std::array ways{Way{"bare", bare, {}}, Way{"shared", shared, {}}, Way{"copied", copied, {}},
                    Way{"launcher", by_launcher, {}}};
    for (int left = std::stoi(arguments[4]); left > 0; --left)
        for (auto& way : ways)
            measure(way, start);
    for (auto& way : ways) {
        const auto middle = way.us.begin() + static_cast<std::ptrdiff_t>(way.us.size() / 2);
        std::nth_element(way.us.begin(), middle, way.us.end());
        std::printf("%s %.1f\n", way.name, *middle);
    }
}

} // namespace

int main(int argc, char** argv)
{
    try {
        if (argc != 5)
            throw std::runtime_error{"usage: spawn PROGRAM UID GID COUNT"};
        run(argv);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "spawn: %s\n", error.what());
        return 1;
    }
}
