// SPDX-License-Identifier: Apache-2.0
//
// The two halves of Belay themselves: every system call of the launcher's own start, and of the manager's drop, fails
// once with each of four errors. The half ends, or it is exactly what it is without the error.
#include "launcher/control.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/plan.hpp"
#include "launcher/protocol.hpp"
#include "launcher/stages.hpp"
#include "tests/fault/tally.hpp"
#include "tests/fault/tracer.hpp"
#include "tests/integration/inside.hpp"
#include "tests/launcher/delegated.hpp"
#include "tests/launcher/plans.hpp"
#include "tests/root.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <fstream>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belay;
using namespace belay::launcher;
using belay::fault::injected_errors;
using belay::fault::Injection;
using belay::fault::normalised;
using belay::fault::Section;
using belay::fault::Tally;

namespace {

void write_line(int output, const std::string& line)
{
    const auto text = line + '\n';
    if (::write(output, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        ::_exit(3);
}

int drop_and_report(const ProcessPlan& plan, int output)
{
    if (!drop_privileges(plan))
        return 1;
    ::sched_yield(); // ends the section
    std::array<char, 8> name{"manager"};
    std::array<char*, 1> arguments{name.data()};
    write_line(output, standin::inside(1, arguments.data()).dump());
    return 0;
}

/// What a launcher must not have too much of, as lines of proc(5)'s status.
std::string privileges_of(pid_t pid)
{
    std::ifstream file{"/proc/" + std::to_string(pid) + "/status"};
    std::string result;
    for (std::string line; std::getline(file, line);)
        for (const auto* key : {"Uid:", "Cap", "NoNewPrivs:", "Seccomp:", "Threads:", "SigBlk:"})
            if (line.starts_with(key))
                result += line + ' ';
    return result;
}

/// Asks for the only module, and writes what the launcher is when it has started it. Ends with the launcher.
[[noreturn]] void play_manager(int control, int output)
{
    const pid_t launcher_pid = ::getppid();
    send(control, Start{});
    std::array<char, 512> packet{};
    while (::recv(control, packet.data(), packet.size(), 0) > 0) {
        Opcode opcode{};
        std::memcpy(&opcode, packet.data(), sizeof opcode);
        if (opcode == Opcode::started)
            write_line(output, privileges_of(launcher_pid));
        if (opcode == Opcode::exited || opcode == Opcode::start_failed)
            break;
    }
    send(control, Finish{});
    ::_exit(0);
}

int become_launcher(const LaunchPlan& plan, int output)
{
    std::array<int, 2> ends{};
    const auto bytes = encode(plan);
    const int file = ::memfd_create("plan", MFD_ALLOW_SEALING);
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0 ||
        ::write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()) ||
        ::fcntl(file, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
        return 3;
    const pid_t manager = ::fork();
    if (manager == 0) {
        ::close(ends[0]);
        play_manager(ends[1], output);
    }
    ::close(ends[1]);
    ::dup2(output, STDERR_FILENO); // the module's report
    ::fcntl(ends[0], F_SETFD, 0);
    ::execl(BELAY_LAUNCHER, "launcher", "--plan-fd", std::to_string(file).c_str(), "--control-fd",
            std::to_string(ends[0]).c_str(), "--manager-pid", std::to_string(manager).c_str(), nullptr);
    return 3;
}

/// The lines that a program, or the stand-in manager, wrote; not the launcher's own complaints.
std::string reports(const std::string& output)
{
    std::istringstream lines{output};
    std::vector<std::string> kept;
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with('{') || line.starts_with("Uid:"))
            kept.push_back(line);
    std::sort(kept.begin(), kept.end()); // two writers
    std::string result;
    for (const auto& line : kept)
        result += line + '\n';
    return normalised(result);
}

/// Which of the calls of the first run are made to fail.
using Choice = std::function<std::pair<std::size_t, std::size_t>(const std::vector<fault::SystemCall>&)>;

std::pair<std::size_t, std::size_t> all_of(const std::vector<fault::SystemCall>& calls)
{
    return {0, calls.size()};
}

/// From the first group that is made until the capabilities are given up.
std::pair<std::size_t, std::size_t> with_control_groups(const std::vector<fault::SystemCall>& calls)
{
    const auto is = [](long number) { return [=](const fault::SystemCall& call) { return call.number == number; }; };
    const auto begin = std::find_if(calls.begin(), calls.end(), is(SYS_mkdirat));
    const auto end = std::find_if(begin, calls.end(), is(SYS_capget));
    return {static_cast<std::size_t>(begin - calls.begin()), static_cast<std::size_t>(end - calls.begin())};
}

void attack(const std::string& name, const Section& section, const std::function<int(int)>& body,
            const Choice& choice = all_of)
{
    need_root();
    const auto baseline = trace(section, std::nullopt, body);
    REQUIRE(baseline.complete);
    const auto expected = reports(baseline.output);
    REQUIRE_THAT(expected, Catch::Contains("leads_its_session"));
    Tally tally{name};
    const auto [first, last] = choice(baseline.calls);
    REQUIRE(last > first);
    for (std::size_t i = first; i < last; ++i) {
        for (const int error : injected_errors) {
            INFO("call " << i << " (" << baseline.calls[i].number << ", " << baseline.calls[i].first << "), error "
                         << error);
            const auto traced = trace(section, Injection{i, error}, body);
            if (!traced.injected) // a call less than in the first run, as an allocator makes them
                continue;
            if (traced.calls[i].number == SYS_close)
                continue; // close(2) closes even when it reports an error; one that is not made does not exist
            const auto found = reports(traced.output);
            const bool open = !found.empty() && found != expected;
            INFO(fault::difference(expected, found));
            CHECK_FALSE(open);
            tally.note(name, open, !found.empty());
        }
    }
    CHECK(tally.print() == 0);
    CHECK(tally.injected() > (last - first) * 2); // close(2) is left out
}

} // namespace

TEST_CASE("the manager's drop")
{
    auto plan = unprivileged({"manager"});
    plan.limits = {{RLIMIT_CORE, 0, 0}};
    attack("the manager's drop", {.subject = fault::Subject::process, .last_call = SYS_sched_yield},
           [&](int output) { return drop_and_report(plan, output); });
}

TEST_CASE("the launcher's own start")
{
    LaunchPlan plan;
    plan.modules = {unprivileged({BELAY_REPORT}, 1U << 13U)};
    plan.manager = unprivileged({"manager"});
    plan.manager.program.clear();
    attack("the launcher's own start", {.subject = fault::Subject::process, .execs_before = 1, .last_call = SYS_ppoll},
           [&](int output) { return become_launcher(plan, output); });
}

TEST_CASE("the launcher's start with control groups")
{
    need_root();
    const launcher_tests::Delegated delegated;
    if (delegated.path.empty())
        return;
    auto plan = delegated.plan({unprivileged({BELAY_REPORT})});
    plan.modules[0].cgroup = {{"cgroup.max.descendants", "7"}};
    plan.manager = unprivileged({"manager"});
    plan.manager.program.clear();
    const auto body = [&](int output) {
        const bool entered = static_cast<bool>(std::ofstream{delegated.path / "cgroup.procs"} << 0 << std::flush);
        return entered ? become_launcher(plan, output) : 3;
    };
    attack("the launcher's start with control groups",
           {.subject = fault::Subject::process, .execs_before = 1, .last_call = SYS_ppoll}, body, with_control_groups);
}
