// SPDX-License-Identifier: Apache-2.0
//
// The real launcher program; this test plays the manager over the socket.
#include "running.hpp"
#include "strict.hpp"

#include <sys/ptrace.h>

using namespace belay;
using namespace belay::launcher;

namespace {

void fill(int file)
{
    REQUIRE(::fcntl(file, F_SETFL, O_NONBLOCK) == 0);
    while (::write(file, "full", 4) > 0) {
    }
    REQUIRE(::fcntl(file, F_SETFL, 0) == 0);
}

/// Whether `pid`, which is traced, is about to write to what `file` is.
bool begins_to_write(pid_t pid, const struct stat& file)
{
    __ptrace_syscall_info info{};
    REQUIRE(::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0);
    struct stat found
    {};
    return info.op == PTRACE_SYSCALL_INFO_ENTRY && (info.entry.nr == SYS_write || info.entry.nr == SYS_sendto) &&
           ::stat(("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(info.entry.args[0])).c_str(), &found) ==
               0 &&
           found.st_dev == file.st_dev && found.st_ino == file.st_ino;
}

} // namespace

TEST_CASE("a module is started, seen to run, seen to end")
{
    Running launcher{plan_of({unprivileged({"/bin/sh", "-c", "exit 7"})})};
    launcher.say(Start{});
    const auto started = launcher.expect<Started>();
    CHECK(started.pid > 0);
    CHECK(started.executed_ns >= started.forked_ns);
    const auto exited = launcher.expect<Exited>();
    CHECK(exited.pid == started.pid);
    CHECK(WEXITSTATUS(exited.status) == 7);
    launcher.say(Start{.attempt = 1});
    CHECK(launcher.expect<Started>().pid != started.pid);
    launcher.expect<Exited>();
    launcher.say(Finish{.exit_code = 42});
    CHECK(launcher.exit_code() == 42);
}

TEST_CASE("a start that fails says in which stage")
{
    auto module = unprivileged({"/bin/true"});
    module.working_directory = "/nowhere";
    Running launcher{plan_of({module})};
    // Another attempt may follow at once: nothing of the first one is left.
    for (unsigned attempt = 0; attempt < 20; ++attempt) {
        launcher.say(Start{.attempt = attempt});
        CHECK(launcher.expect<StartFailed>().error == ENOENT);
    }
    launcher.say(Finish{.exit_code = 1});
    CHECK(launcher.exit_code() == 1);
}

TEST_CASE("a standard error that nobody reads does not keep the launcher from stopping the modules")
{
    std::array<int, 2> both{};
    SECTION("a pipe")
    {
        REQUIRE(::pipe2(both.data(), O_CLOEXEC) == 0);
    }
    SECTION("a terminal")
    {
        both[0] = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        REQUIRE((::grantpt(both[0]) == 0 && ::unlockpt(both[0]) == 0));
        both[1] = ::open(::ptsname(both[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
    }
    const FileDescriptor reader{both[0]};
    const FileDescriptor writer{both[1]};
    fill(writer.get());
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})}), "", writer.get()};
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    launcher.control.reset();
    CHECK(ends(module));
    CHECK(ends(launcher.pid));
}

TEST_CASE("a module that fills standard error while the launcher writes to it does not keep it waiting")
{
    std::array<int, 2> both{};
    SECTION("a pipe")
    {
        REQUIRE(::pipe2(both.data(), O_CLOEXEC) == 0);
    }
    SECTION("a socket")
    {
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both.data()) == 0);
    }
    const FileDescriptor reader{both[0]};
    const FileDescriptor writer{both[1]};
    struct stat file
    {};
    REQUIRE(::fstat(writer.get(), &file) == 0);
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})}), "", writer.get()};
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    REQUIRE(::ptrace(PTRACE_SEIZE, launcher.pid, nullptr, PTRACE_O_TRACESYSGOOD) == 0);
    REQUIRE(::ptrace(PTRACE_INTERRUPT, launcher.pid, nullptr, nullptr) == 0);
    launcher.control.reset(); // of which it complains
    int status = 0;
    do {
        REQUIRE(::waitpid(launcher.pid, &status, 0) == launcher.pid);
        REQUIRE(WIFSTOPPED(status));
    } while (!begins_to_write(launcher.pid, file) && ::ptrace(PTRACE_SYSCALL, launcher.pid, nullptr, nullptr) == 0);
    fill(writer.get());
    REQUIRE(::ptrace(PTRACE_DETACH, launcher.pid, nullptr, nullptr) == 0);
    CHECK(ends(module));
    CHECK(ends(launcher.pid));
}

TEST_CASE("the launcher keeps only the capabilities of its plan")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"}, 1U << 13U)})};
    launcher.say(Start{});
    launcher.expect<Started>();
    // CAP_KILL 5, CAP_SETGID 6, CAP_SETUID 7, CAP_SETPCAP 8, CAP_NET_RAW 13
    for (const auto* set : {"CapPrm", "CapEff", "CapBnd"})
        CHECK(proc(launcher.pid, set) == "00000000000021e0");
    for (const auto* set : {"CapInh", "CapAmb"})
        CHECK(proc(launcher.pid, set) == "0000000000000000");
    CHECK(proc(launcher.pid, "NoNewPrivs") == "1");
    CHECK(proc(launcher.pid, "Seccomp") == "2");
    CHECK(proc(launcher.pid, "Threads") == "1");
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
}

TEST_CASE("signals reach the module, and only those of the protocol")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})})};
    launcher.say(Start{});
    launcher.expect<Started>();
    launcher.say(Signal{.signal = SIGTERM});
    const auto exited = launcher.expect<Exited>();
    CHECK(WTERMSIG(exited.status) == SIGTERM);
    launcher.say(Signal{.signal = SIGTERM}); // late: no error
    launcher.say(Signal{.signal = SIGUSR1});
    CHECK(launcher.exit_code() == 1);
}

TEST_CASE("what the protocol does not have ends the manager and every module")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})})};
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    SECTION("an unknown opcode")
    {
        launcher.say(Start{.opcode = static_cast<Opcode>(99)});
    }
    SECTION("an opcode of the other direction")
    {
        launcher.say(Exited{});
    }
    SECTION("a wrong size")
    {
        launcher.say(std::uint64_t{1});
    }
    SECTION("a module that is not in the plan")
    {
        launcher.say(Start{.module = 1});
    }
    SECTION("a module that runs already")
    {
        launcher.say(Start{});
    }
    SECTION("an impossible exit code")
    {
        launcher.say(Finish{.exit_code = 256});
    }
    SECTION("the exit code of a configuration error, after which nobody starts the service again")
    {
        launcher.say(Finish{.exit_code = exit_configuration});
    }
    SECTION("a descriptor")
    {
        const std::array descriptors{0};
        REQUIRE(send(launcher.control.get(), Heartbeat{}, descriptors));
    }
    SECTION("nothing more")
    {
        launcher.control.reset();
    }
    CHECK(launcher.exit_code() == 1);
    CHECK_FALSE(exists(module));
}

TEST_CASE("a module that ignores SIGTERM is killed when the manager is gone")
{
    Running launcher{plan_of({unprivileged({"/bin/sh", "-c", "trap '' TERM; while :; do sleep 60; done"})})};
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    launcher.control.reset();
    CHECK(launcher.exit_code() == 1);
    CHECK_FALSE(exists(module));
}

TEST_CASE("when the launcher is killed, its modules die with it")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})})};
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    REQUIRE(::kill(launcher.pid, SIGKILL) == 0);
    CHECK(launcher.exit_code() == -1);
    int status = 0;
    CHECK(::waitpid(module, &status, 0) == module); // this process is the subreaper
    CHECK(WTERMSIG(status) == SIGKILL);
}

TEST_CASE("a child that hangs before it has a process group is killed like any other")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"}), unprivileged({"/bin/true"})})};
    launcher.say(Start{.module = 1}); // when it has been started, the launcher has begun
    launcher.expect<Started>();
    launcher.expect<Exited>();
    int status = 0;
    REQUIRE(::ptrace(PTRACE_SEIZE, launcher.pid, nullptr, PTRACE_O_TRACEFORK) == 0);
    launcher.say(Start{});
    REQUIRE(::waitpid(launcher.pid, &status, 0) == launcher.pid);
    REQUIRE(status >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8));
    unsigned long child = 0;
    REQUIRE(::ptrace(PTRACE_GETEVENTMSG, launcher.pid, nullptr, &child) == 0);
    const auto pid = static_cast<pid_t>(child);
    REQUIRE(::waitpid(pid, &status, 0) == pid); // it has not run at all yet
    REQUIRE(::kill(pid, SIGSTOP) == 0);
    REQUIRE(::ptrace(PTRACE_DETACH, pid, nullptr, nullptr) == 0);
    REQUIRE(::ptrace(PTRACE_DETACH, launcher.pid, nullptr, nullptr) == 0);
    launcher.say(Signal{.signal = SIGKILL, .scope = Scope::tree});
    launcher.expect<Started>();
    const auto exited = launcher.expect<Exited>();
    CHECK(exited.pid == pid);
    CHECK(WTERMSIG(exited.status) == SIGKILL);
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
}

TEST_CASE("neither the launcher nor a child on its way to exec allocates")
{
    // Empty under the address sanitizer, which has an allocator of its own.
    auto forbidden = unprivileged({"/bin/sh", "-c", "exit 7"});
    allow_strictly(forbidden, {"~getppid"}); // which the shell begins with
    Running launcher{
        plan_of({unprivileged({"/bin/sh", "-c", "exit 7"}), unprivileged({"/bin/sleep", "60"}), forbidden}),
        BELAY_FORBID_ALLOCATION};
    launcher.say(Notify{});
    launcher.say(Heartbeat{});
    launcher.say(Start{});
    launcher.expect<Started>();
    CHECK(WEXITSTATUS(launcher.expect<Exited>().status) == 7);
    launcher.say(Start{.module = 2});
    launcher.expect<Started>();
    CHECK(launcher.expect<Exited>().system_call == SYS_getppid);
    launcher.say(Start{.module = 1});
    launcher.expect<Started>();
    launcher.say(Signal{.module = 1, .signal = SIGTERM});
    launcher.expect<Exited>();
    launcher.say(Start{.module = 1});
    launcher.expect<Started>();
    launcher.say(Finish{.exit_code = 42});
    CHECK(launcher.exit_code() == 42);
}

TEST_CASE("signals to the launcher are told to the manager")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})})};
    launcher.say(Start{});
    launcher.expect<Started>();
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) { // no invocation: nothing to judge
        REQUIRE(::kill(launcher.pid, number) == 0);
        CHECK(launcher.expect<SignalReceived>().signal == number);
    }
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
}

TEST_CASE("a manager that does not stop when it is told to is not waited for")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})})};
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    REQUIRE(::kill(launcher.pid, SIGTERM) == 0);
    CHECK(launcher.expect<SignalReceived>().signal == SIGTERM);
    CHECK(launcher.exit_code() == 1);
    CHECK_FALSE(exists(module));
}

TEST_CASE("a manager that says that it stops has its time for it, and no more")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})})};
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    launcher.say(Notify{.kind = Notification::stopping});
    launcher.say(Notify{.kind = Notification::ready});
    launcher.say(Notify{.kind = Notification::stopping});
    REQUIRE(ends(launcher.pid));
    CHECK(launcher.exit_code() == 1);
    CHECK_FALSE(exists(module));
}

TEST_CASE("there is no reload that nobody asked for")
{
    auto plan = plan_of({});
    plan.invocation = {"/bin/sh", {"sh", "-c", "exit 7"}, {}};
    Running launcher{plan};
    launcher.say(Finish{.after = After::reload});
    CHECK(launcher.exit_code() == 1);
}

TEST_CASE("nobody speaks for a manager that has ended")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})})};
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    launcher.manager_life.reset();
    REQUIRE(ends(launcher.pid));
    CHECK(launcher.exit_code() == 1);
    CHECK_FALSE(exists(module));
}

TEST_CASE("the last word of a manager counts, however much it said before")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})})};
    launcher.say(Start{});
    launcher.expect<Started>();
    REQUIRE(::kill(launcher.pid, SIGSTOP) == 0);
    for (int i = 0; i < 100; ++i)
        launcher.say(Heartbeat{});
    launcher.say(Finish{.exit_code = 42});
    launcher.control.reset();
    REQUIRE(::kill(launcher.pid, SIGCONT) == 0);
    CHECK(launcher.exit_code() == 42);
}

TEST_CASE("a manager that never stops talking keeps neither signals nor deadlines waiting")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})}), BELAY_ENDLESS_TALK};
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    launcher.say(Heartbeat{});
    REQUIRE(::kill(launcher.pid, SIGTERM) == 0);
    CHECK(ends(launcher.pid));
    CHECK_FALSE(exists(module));
}

TEST_CASE("a plan that is not sealed, or no plan at all, starts nothing")
{
    need_root();
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()) == 0);
    const FileDescriptor mine{ends[0]};
    const FileDescriptor theirs{ends[1]};
    const FileDescriptor memory{::memfd_create("plan", MFD_ALLOW_SEALING)};
    const auto bytes = encode(plan_of({}));
    REQUIRE(::write(memory.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    const pid_t pid = ::fork();
    if (pid == 0) {
        const pid_t manager = ::fork();
        if (manager == 0) {
            ::pause();
            ::_exit(0);
        }
        ::execl(BELAY_LAUNCHER, "launcher", "--plan-fd", std::to_string(memory.get()).c_str(), "--control-fd",
                std::to_string(theirs.get()).c_str(), "--manager-pid", std::to_string(manager).c_str(), nullptr);
        ::_exit(127);
    }
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    CHECK(WEXITSTATUS(status) == 1);
}
