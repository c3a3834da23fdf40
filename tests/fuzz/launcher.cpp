// SPDX-License-Identifier: Apache-2.0
//
// The launcher as a manager sees it that was taken over: the real class over a real socket, real modules as an
// unprivileged user. Guaranteed whatever it says, in which order, with whatever descriptors: the launcher does not
// crash; it starts only what the plan names, as the plan says, and only when asked; it signals nobody but its own
// children, and them only with TERM, KILL, ABRT and the CONT after it; systemd hears no more than the protocol has
// words for; and it ends soon after the manager, with nothing left behind.
//
// The first byte of an input: 1: the manager is also a process; 2: output through pipes. The rest is the script of
// hostile_manager.hpp. Without root the modules keep this process's user.
#include "launcher/launcher.hpp"

#include "launcher/preparation.hpp"
#include "tests/fuzz/hostile_manager.hpp"
#include "tests/fuzz/require.hpp"
#include "tests/launcher/plans.hpp"
#include "tests/temporary_directory.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <filesystem>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

using namespace belay;
using namespace belay::launcher;

namespace {

pid_t this_process = 0; // also known in a child on its way to exec, which has the same memory

/// A child of this process that was not reaped yet: its pid, and the process group of that number, are not reused.
bool is_own_child(pid_t pid)
{
    siginfo_t info{};
    return pid > 1 && ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

} // namespace

/// In the place of kill(2) for the whole program.
extern "C" int kill(pid_t pid, int number) noexcept
{
    if (::getpid() == this_process) {
        require(is_own_child(pid < 0 ? -pid : pid), "only children of the launcher are signalled");
        require(number == SIGTERM || number == SIGKILL || number == SIGABRT || number == SIGCONT,
                "only with TERM, KILL, ABRT and CONT");
    }
    return static_cast<int>(::syscall(SYS_kill, pid, number));
}

namespace {

constexpr std::uint32_t stop_timeout_ms = 50;
constexpr auto soon = std::chrono::seconds(5);

ProcessPlan module(std::vector<std::string> arguments)
{
    if (::geteuid() == 0)
        return unprivileged(std::move(arguments));
    auto plan = plan_for(std::move(arguments));
    plan.privileges = Privileges::exact_without_setpcap;
    return plan;
}

LaunchPlan make_plan()
{
    LaunchPlan plan;
    plan.modules = {module({"/bin/true"}), module({"/bin/sleep", "60"}), module({"/bin/true"}),
                    module({"/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"}),
                    module({"/bin/sh", "-c", "setsid sleep 20 & exit 3"})};
    plan.modules[2].working_directory = "/nowhere";
    plan.manager = plan_for({"/bin/true"});
    plan.stop_timeout_ms = stop_timeout_ms;
    return plan;
}

/// What this program is, as long as it lives, to the launchers in it.
struct Surroundings
{
    Surroundings()
    {
        this_process = ::getpid();
        // A child that SIGABRT meets on its way to exec ends by it, not in libFuzzer's handler.
        ::signal(SIGABRT, SIG_DFL);
        std::set_terminate([] { __builtin_trap(); });
        require(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0, "it can be a subreaper");
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path().copy(&address.sun_path[0], sizeof address.sun_path - 1);
        require(::bind(systemd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
                "there is a socket to listen on");
    }

    [[nodiscard]] std::string path() const { return (directory.path / "notify").string(); }

    TemporaryDirectory directory{"fuzz"};
    FileDescriptor systemd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    FileDescriptor null_device{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    LaunchPlan plan = make_plan();
};

sigset_t handled_signals()
{
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : {SIGCHLD, SIGTERM, SIGHUP})
        ::sigaddset(&set, number);
    return set;
}

FileDescriptor signal_descriptor()
{
    const auto set = handled_signals();
    FileDescriptor result{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    signalfd_siginfo info{};
    while (::read(result.get(), &info, sizeof info) > 0) {
    } // of the input before
    return result;
}

/// One of the protocol's notifications: sd_notify(3) takes each line as an assignment of its own.
bool is_notification(std::string_view text)
{
    for (const std::string_view name : {"RELOADING=1\nMONOTONIC_USEC=", "EXTEND_TIMEOUT_USEC="})
        if (text.starts_with(name))
            return text.find_first_not_of("0123456789", name.size()) == text.npos;
    if (text.starts_with("STATUS=")) {
        const auto end = text.find('\n');
        return end == text.npos || text.substr(end) == "\nEXTEND_TIMEOUT_USEC=30000000"; // not of the manager's choice
    }
    return text == "READY=1" || text == "STOPPING=1" || text == "WATCHDOG=1";
}

void check_notifications(const Surroundings& surroundings)
{
    std::array<char, 1024> buffer{};
    for (ssize_t size = 0; (size = ::recv(surroundings.systemd.get(), buffer.data(), buffer.size(), 0)) > 0;)
        require(is_notification({buffer.data(), static_cast<std::size_t>(size)}),
                "systemd hears what the protocol has");
}

pid_t manager_process()
{
    std::string name = "sleep";
    std::string seconds = "60";
    std::array<char*, 3> arguments{name.data(), seconds.data(), nullptr};
    std::array<char*, 1> environment{nullptr};
    pid_t pid = 0;
    require(::posix_spawn(&pid, "/bin/sleep", nullptr, nullptr, arguments.data(), environment.data()) == 0,
            "the manager can be a process");
    return pid;
}

/// A machine that is busy may need longer for a SIGKILL than the launcher waits, which says so by its exit code.
void check_nothing_left(std::chrono::steady_clock::time_point deadline, int exit_code)
{
    for (;;) {
        const pid_t reaped = ::waitpid(-1, nullptr, WNOHANG);
        if (reaped < 0 && errno == ECHILD)
            return;
        require(exit_code != 0 && std::chrono::steady_clock::now() < deadline, "nothing is left behind");
        std::this_thread::yield();
    }
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*arguments*/)
{
    const auto set = handled_signals(); // in every thread, those of libFuzzer included
    return ::sigprocmask(SIG_BLOCK, &set, nullptr);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static Surroundings surroundings;
    if (size == 0)
        return 0;
    auto& plan = surroundings.plan;
    plan.prefix_output = (data[0] & 2U) != 0;
    std::array<int, 2> ends{};
    require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0, "there is a socket");
    HostileManager manager{FileDescriptor{ends[1]}, plan};
    Equipment equipment{.control = FileDescriptor{ends[0]},
                        .signals = signal_descriptor(),
                        .manager = (data[0] & 1U) != 0 ? manager_process() : 0,
                        .starts = {},
                        .service_manager = ServiceManager{surroundings.path().c_str()}};
    Preparation preparation{0, surroundings.null_device.get(), equipment.manager};
    for (const auto& one : plan.modules)
        require(preparation.prepare(plan, one, equipment.starts).has_value(), "the plan can be prepared");

    const auto deadline = std::chrono::steady_clock::now() + soon;
    Launcher launcher{plan, std::move(equipment)};
    std::thread talking{[&] { manager.run({data + 1, size - 1}); }};
    const int exit_code = launcher.run();
    talking.join();
    require(exit_code >= 0 && exit_code <= 255, "the exit code is one");
    require(std::chrono::steady_clock::now() < deadline, "the launcher ends soon after the manager");
    check_nothing_left(deadline, exit_code);
    check_notifications(surroundings);
    return 0;
}
