// SPDX-License-Identifier: Apache-2.0
//
// Starts real programs as root and reads what they are from inside.
#include "launcher/capability_sets.hpp"
#include "launcher/landlock.hpp"
#include "launcher/seccomp_filter.hpp"
#include "launcher/spawn.hpp"
#include "launcher/stages.hpp"
#include "plans.hpp"
#include "starts.hpp"
#include "tests/root.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <cstring>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <sstream>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

using namespace belay;
using namespace belay::launcher;

namespace {

std::map<std::string, std::string> status_of(const ProcessPlan& plan)
{
    const auto outcome = start(plan);
    REQUIRE_FALSE(outcome.failure);
    std::map<std::string, std::string> result;
    std::istringstream stream{outcome.output};
    for (std::string line; std::getline(stream, line);) {
        const auto colon = line.find(":\t");
        if (colon != std::string::npos)
            result[line.substr(0, colon)] = line.substr(colon + 2);
    }
    return result;
}

std::string hex(CapabilityMask mask)
{
    std::array<char, 17> text{};
    std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(mask));
    return text.data();
}

/// A process that is what `plan` says, but for its program.
pid_t start_neighbour(const ProcessPlan& plan)
{
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const FileDescriptor reader{ends[0]};
    FileDescriptor writer{ends[1]};
    const pid_t child = ::fork();
    if (child == 0) {
        const bool ready = drop_privileges(plan).has_value() && ::prctl(PR_SET_DUMPABLE, 1) == 0 &&
                           ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
        if (!ready || ::write(writer.get(), "", 1) != 1)
            ::_exit(1);
        ::pause();
        ::_exit(0);
    }
    writer.reset();
    char byte = 1;
    REQUIRE(::read(reader.get(), &byte, 1) == 1);
    return child;
}

void end_neighbour(pid_t pid)
{
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
}

void check_five_sets(std::map<std::string, std::string>& status, CapabilityMask mask)
{
    for (const auto* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
        INFO(set);
        CHECK(status[set] == hex(mask));
    }
}

} // namespace

TEST_CASE("a module is what its plan says")
{
    auto status = status_of(unprivileged({"/bin/cat", "/proc/self/status"}, capability(CAP_NET_RAW)));
    CHECK(status["Uid"] == "64999\t64999\t64999\t64999");
    CHECK(status["Gid"] == "64998\t64998\t64998\t64998");
    CHECK(status["Groups"] == "64997 64998 ");
    CHECK(status["NoNewPrivs"] == "1");
    CHECK(status["Seccomp"] == "2");
    CHECK(status["SigBlk"] == "0000000000000000");
    CHECK(status["SigIgn"] == "0000000000000000");
    CHECK(status["Umask"] == "0027");
    check_five_sets(status, capability(CAP_NET_RAW));
}

TEST_CASE("all five sets equal the declared one, whatever it is")
{
    std::mt19937_64 random{7};
    CapabilitySets own;
    need_root();
    REQUIRE(read_capabilities(own) == 0);
    for (int round = 0; round < 40; ++round) {
        const auto mask = random() & random() & own.permitted;
        auto status = status_of(unprivileged({"/bin/cat", "/proc/self/status"}, mask));
        check_five_sets(status, mask);
    }
    auto status = status_of(unprivileged({"/bin/cat", "/proc/self/status"}, own.permitted));
    check_five_sets(status, own.permitted);
}

TEST_CASE("root with declared capabilities has those and no others, even after another exec")
{
    auto plan = plan_for({"/bin/sh", "-c", "exec cat /proc/self/status"});
    plan.privileges = Privileges::exact;
    plan.capabilities = capability(CAP_NET_RAW);
    auto status = status_of(plan);
    CHECK(status["Uid"] == "0\t0\t0\t0");
    check_five_sets(status, capability(CAP_NET_RAW));
}

TEST_CASE("more groups than fit on a page")
{
    auto plan = unprivileged({"/bin/cat", "/proc/self/status"});
    plan.groups.resize(2000);
    std::iota(plan.groups.rbegin(), plan.groups.rend(), 70000U);
    const auto groups = status_of(plan)["Groups"];
    CHECK(std::count(groups.begin(), groups.end(), ' ') == 2000);
}

TEST_CASE("the program has three descriptors, an empty standard input and the environment of its plan")
{
    const FileDescriptor leak{::open("/dev/null", O_RDONLY)};
    CHECK(start(unprivileged({"/usr/bin/env"})).output == "PATH=/usr/bin:/bin\n");
    const auto script = "cat; i=0; while [ $i -lt 256 ]; do [ ! -e /proc/$$/fd/$i ] || echo $i; i=$((i + 1)); done";
    CHECK(start(unprivileged({"/bin/sh", "-c", script})).output == "0\n1\n2\n");
}

TEST_CASE("what the launcher blocks and ignores, a module does not")
{
    sigset_t blocked;
    sigset_t before;
    ::sigemptyset(&blocked);
    for (const int number : {SIGINT, SIGCHLD, SIGRTMIN})
        ::sigaddset(&blocked, number);
    ::sigprocmask(SIG_BLOCK, &blocked, &before);
    auto* const ignored = ::signal(SIGPIPE, SIG_IGN);
    auto status = status_of(unprivileged({"/bin/cat", "/proc/self/status"}));
    ::signal(SIGPIPE, ignored);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    for (const auto* set : {"SigBlk", "SigIgn", "SigCgt"})
        CHECK(status[set] == "0000000000000000");
}

TEST_CASE("the launcher's keys are not the module's")
{
    need_root();
    const auto keys_with_ours = [](const ProcessPlan& plan) {
        // In a process of its own: a session keyring cannot be left again.
        const pid_t child = ::fork();
        if (child == 0) {
            const bool added = ::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "belay-session") >= 0 &&
                               ::syscall(SYS_add_key, "user", "belay-secret", "x", 1, KEY_SPEC_SESSION_KEYRING) >= 0;
            ::_exit(!added ? 2 : start(plan).output.find("belay-secret") != std::string::npos ? 1 : 0);
        }
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        return WEXITSTATUS(status);
    };
    auto plan = plan_for({"/bin/cat", "/proc/keys"});
    CHECK(keys_with_ours(plan) == 1); // it would be seen
    CHECK(keys_with_ours(unprivileged({"/bin/cat", "/proc/keys"})) == 0);
}

TEST_CASE("limits are set before privileges go")
{
    auto plan = unprivileged({"/bin/sh", "-c", "ulimit -n; ulimit -Hc"});
    plan.limits = {{RLIMIT_NOFILE, 77, 78}, {RLIMIT_CORE, 0, 0}};
    CHECK(start(plan).output == "77\n0\n");
}

TEST_CASE("a session of its own")
{
    // pid, ppid, pgrp, session: fields 1, 4, 5, 6 of proc(5)'s stat
    const auto outcome = start(unprivileged({"/bin/sh", "-c", "read a b c d e f g < /proc/self/stat; echo $a $e $f"}));
    std::istringstream stream{outcome.output};
    int pid = 0;
    int group = -1;
    int session = -2;
    stream >> pid >> group >> session;
    CHECK(pid == group);
    CHECK(pid == session);
}

TEST_CASE("a failed stage is named, and nothing runs")
{
    SECTION("working directory")
    {
        auto plan = unprivileged({"/bin/echo", "ran"});
        plan.working_directory = "/nowhere";
        const auto outcome = start(plan);
        REQUIRE(outcome.failure);
        CHECK(outcome.failure->stage == StageId::working_directory);
        CHECK(outcome.failure->error == ENOENT);
        CHECK(outcome.output.empty());
    }
    SECTION("limits")
    {
        auto plan = unprivileged({"/bin/echo", "ran"});
        plan.limits = {{9999, 1, 1}};
        const auto outcome = start(plan);
        REQUIRE(outcome.failure);
        CHECK(outcome.failure->stage == StageId::limits);
        CHECK(outcome.output.empty());
    }
    SECTION("a capability that cannot be granted")
    {
        auto plan = unprivileged({"/bin/echo", "ran"}, CapabilityMask{1} << 63U);
        const auto outcome = start(plan);
        REQUIRE(outcome.failure);
        CHECK(outcome.failure->stage == StageId::ambient_set);
        CHECK(outcome.output.empty());
    }
    SECTION("a program that is none")
    {
        const auto outcome = start(unprivileged({"/etc/passwd"}));
        REQUIRE(outcome.failure);
        CHECK(outcome.failure->stage == StageId::execution);
        CHECK(outcome.failure->error == EACCES);
    }
}

TEST_CASE("an environment variable of the dynamic linker is not inherited")
{
    ::setenv("LD_PRELOAD", "/nowhere.so", 1);
    const auto outcome = start(unprivileged({"/usr/bin/env"}));
    ::unsetenv("LD_PRELOAD");
    CHECK(outcome.output == "PATH=/usr/bin:/bin\n");
}

TEST_CASE("the manager's way drops everything for good")
{
    need_root();
    const pid_t child = ::fork();
    if (child == 0) {
        const auto dropped = drop_privileges(unprivileged({""}));
        CapabilitySets sets;
        const bool empty = read_capabilities(sets) == 0 && sets == CapabilitySets{};
        ::_exit(dropped && empty && ::getuid() == 64999 && ::setuid(0) != 0 ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("in a domain of its own, a module reaches none of its user's other processes")
{
    if (landlock_abi() < landlock_scopes_abi) {
        WARN("skipped: needs Landlock's ABI 6 (Linux 6.12)");
        return;
    }
    auto plan = unprivileged(
        {"/bin/sh", "-c", "kill -0 $1 2>/dev/null; echo $?; cat /proc/$1/environ >/dev/null 2>&1; echo $?", "sh"});
    const auto neighbour = start_neighbour(plan);
    plan.arguments.push_back(std::to_string(neighbour));
    CHECK(start(plan).output == "1\n1\n");
    plan.landlock.isolate = false;
    CHECK(start(plan).output == "0\n0\n");
    // Who is within reach although it should not be is found out before anything runs.
    const auto outcome = start(plan, neighbour);
    REQUIRE(outcome.failure);
    CHECK(outcome.failure->stage == StageId::verification);
    CHECK(outcome.output.empty());
    end_neighbour(neighbour);
}

TEST_CASE("a module executes only what is below its directories")
{
    if (landlock_abi() < landlock_ptrace_abi) {
        WARN("skipped: needs Landlock");
        return;
    }
    auto plan = unprivileged({"/bin/sh", "-c", "cp /bin/true ran && ./ran; echo $?; rm -f ran; /bin/true; echo $?"});
    plan.working_directory = "/tmp";
    execute_only(plan, {"/usr", "/bin", "/lib", "/lib64", "/nowhere"});
    CHECK(start(plan).output.ends_with("126\n0\n"));
    execute_only(plan, {"/lib", "/lib64", "/nowhere"});
    const auto outcome = start(plan);
    REQUIRE(outcome.failure);
    CHECK(outcome.failure->stage == StageId::execution);
    CHECK(outcome.failure->error == EACCES);
}
