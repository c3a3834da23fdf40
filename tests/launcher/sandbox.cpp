// SPDX-License-Identifier: Apache-2.0
//
// The parts of a sandbox that a plan must ask for, read and tried from inside.
#include "launcher/descriptor.hpp"
#include "launcher/io_priority.hpp"
#include "launcher/landlock.hpp"
#include "launcher/stages.hpp"
#include "plans.hpp"
#include "starts.hpp"
#include "tests/root.hpp"

#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>
#include <filesystem>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

using namespace belay;
using namespace belay::launcher;

namespace {

ProcessPlan shell(const std::string& script)
{
    return unprivileged({"/bin/sh", "-c", script});
}

std::string output_of(const ProcessPlan& plan)
{
    const auto outcome = start(plan);
    if (outcome.failure)
        return explain(*outcome.failure);
    return outcome.output;
}

/// Readable, writable and without rules for anything else but programs.
void strict(ProcessPlan& plan, std::vector<PathRule> more)
{
    plan.landlock.handled_fs = landlock_file_rights(landlock_abi());
    constexpr std::uint64_t run =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    constexpr std::uint64_t use = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
    for (const auto* place : {"/usr", "/lib", "/lib64", "/bin"})
        plan.landlock.paths.push_back({place, run});
    plan.landlock.paths.push_back({"/dev/null", use});
    for (auto& rule : more)
        plan.landlock.paths.push_back(std::move(rule));
}

} // namespace

TEST_CASE("nice, scheduling, processors, input and output, and the chance to be killed for memory")
{
    auto plan = shell("cat /proc/self/oom_score_adj; nice; chrt -p $$; taskset -p $$; ionice");
    plan.priorities.nice = 5;
    plan.priorities.policy = SCHED_BATCH;
    plan.priorities.cpus = {0};
    plan.priorities.io = io_priority(io_best_effort, 6);
    plan.priorities.oom_score_adj = 500;
    const auto output = output_of(plan);
    INFO(output);
    CHECK(output.starts_with("500\n5\n"));
    CHECK_THAT(output, Catch::Contains("SCHED_BATCH"));
    CHECK_THAT(output, Catch::Contains("affinity mask: 1\n"));
    CHECK_THAT(output, Catch::Contains("best-effort: prio 6"));
}

TEST_CASE("a real-time module")
{
    auto plan = shell("chrt -p $$");
    plan.priorities.policy = SCHED_RR;
    plan.priorities.static_priority = 7;
    const auto output = output_of(plan);
    CHECK_THAT(output, Catch::Contains("SCHED_RR"));
    CHECK_THAT(output, Catch::Contains("priority: 7"));
}

TEST_CASE("a priority that there is not is named")
{
    auto plan = shell("echo ran");
    plan.priorities.policy = SCHED_FIFO; // with priority 0
    const auto outcome = start(plan);
    REQUIRE(outcome.failure);
    CHECK(outcome.failure->stage == StageId::priorities);
    CHECK(outcome.failure->error == EINVAL);
    CHECK(outcome.output.empty());
}

TEST_CASE("a read-only system but for what may be written")
{
    auto plan = shell("for f in /usr/x /etc/x /tmp/x /var/tmp/x; do echo > $f; done 2>&1 | grep -c 'Read-only'; "
                      "echo 1000 > /proc/self/oom_score_adj && echo adjusted");
    plan.change_identity = false; // whom nothing but the view itself keeps from writing
    plan.uid = plan.gid = 0;
    plan.mounts = {{MountStep::Kind::read_only, "/", ""},
                   {MountStep::Kind::writable, "/proc", ""},
                   {MountStep::Kind::writable, "/tmp", ""}};
    const auto output = output_of(plan);
    CHECK(output == "3\nadjusted\n");
    std::filesystem::remove("/tmp/x");
}

TEST_CASE("a /tmp of its own")
{
    const auto* file = "/tmp/belay-test-of-the-host";
    const FileDescriptor host{::open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)};
    auto plan = shell("ls -A /tmp; echo x > /tmp/y && cat /tmp/y; stat -c %a /tmp");
    plan.mounts = {{MountStep::Kind::temporary, "/tmp", "mode=1777,size=1M"}};
    CHECK(output_of(plan) == "x\n1777\n");
    CHECK_FALSE(std::filesystem::exists("/tmp/y"));
    std::filesystem::remove(file);
}

TEST_CASE("devices by list")
{
    need_root();
    std::filesystem::create_directories("/dev/belay-test");
    REQUIRE((::mknod("/dev/belay-test/zero", S_IFCHR | 0666, makedev(1, 5)) == 0 || errno == EEXIST));
    ::chmod("/dev/belay-test/zero", 0666);
    auto plan = shell("cd /dev; echo *; echo belay-test/*; head -c 3 belay-test/zero | wc -c; echo x > null; "
                      "echo x > shm/y && cat shm/y; stat -c %F null");
    plan.mounts = {{MountStep::Kind::devices, "/dev", ""}};
    plan.devices = {"/dev/belay-test/zero"};
    const auto output = output_of(plan);
    plan.devices = {"/dev/belay-test/missing"};
    const auto missing = start(plan);
    std::filesystem::remove_all("/dev/belay-test");
    CHECK(output ==
          "belay-test fd full log null random shm stderr stdin stdout tty urandom zero\nbelay-test/zero\n3\nx\n"
          "character special file\n");
    REQUIRE(missing.failure);
    CHECK(missing.failure->stage == StageId::mounts);
    CHECK(missing.failure->error == ENOENT);
}

TEST_CASE("no network, or the loopback alone")
{
    auto plan = shell("sed -n 's/:.*//p' /proc/self/net/dev | tr -d ' \n'; cat /sys/class/net/none 2>/dev/null; echo; "
                      "grep -c 0100007F /proc/self/net/fib_trie; wc -l < /proc/self/net/if_inet6");
    plan.arguments = {"/bin/sh", "-c",
                      "sed -n 's/:.*//p' /proc/self/net/dev | tr -d ' \\n'; echo; "
                      "grep -c 127.0.0.1 /proc/self/net/fib_trie"};
    plan.network = Network::none;
    CHECK(output_of(plan) == "lo\n0\n");
    plan.network = Network::loopback;
    CHECK(output_of(plan).starts_with("lo\n"));
    CHECK_FALSE(output_of(plan).ends_with("\n0\n"));
}

TEST_CASE("strict: only what there is a rule for is read, written, executed")
{
    if (landlock_abi() < landlock_ptrace_abi) {
        WARN("skipped: needs Landlock");
        return;
    }
    auto plan = shell("cat /etc/hostname; cat /etc/passwd | head -c 4; echo x > /tmp/x; echo y > /var/tmp/x; ls /");
    strict(plan, {{"/etc/passwd", LANDLOCK_ACCESS_FS_READ_FILE}});
    const auto output = output_of(plan);
    INFO(output);
    CHECK_THAT(output, Catch::Contains("cat: /etc/hostname: Permission denied"));
    CHECK_THAT(output, Catch::Contains("root"));
    CHECK_THAT(output, Catch::Contains("/tmp/x: Permission denied"));
    CHECK_THAT(output, Catch::Contains("/var/tmp/x: Permission denied"));
    CHECK_THAT(output, Catch::Contains("cannot open directory '/'"));
}

TEST_CASE("what may be written in a /tmp of its own is that one")
{
    auto plan = shell("mkdir /tmp/a && echo x > /tmp/a/x && mv /tmp/a/x /tmp/y && cat /tmp/y");
    strict(plan, {{"/tmp", landlock_file_rights(landlock_abi())}});
    plan.mounts = {{MountStep::Kind::temporary, "/tmp", "mode=1777,size=1M"}};
    CHECK(output_of(plan) == "x\n");
}

TEST_CASE("strict: TCP ports by list")
{
    if (landlock_abi() < landlock_ports_abi) {
        WARN("skipped: needs Landlock's ABI 4 (Linux 6.7)");
        return;
    }
    constexpr std::uint64_t bind = 1;
    auto plan = unprivileged({"/usr/bin/python3", "-c", R"(
import socket
def attempt(what, port):
    try:
        getattr(socket.socket(), what)(("127.0.0.1", port))
        return "done"
    except OSError as error:
        return error.errno
print(attempt("bind", 45731), attempt("bind", 45732), attempt("connect", 45733)))"});
    plan.landlock.handled_net = 3;
    plan.landlock.ports = {{45731, bind}};
    CHECK(output_of(plan) == "done 13 13\n");
}

TEST_CASE("files still move from one directory to another")
{
    auto plan = shell("mkdir -p a && echo x > x && ln x a/y && mv x a/x && cat a/x; rm -r a");
    execute_only(plan, {"/usr", "/bin", "/lib", "/lib64"});
    plan.working_directory = "/tmp";
    CHECK(output_of(plan) == "x\n");
}

TEST_CASE("without no_new_privs, a setuid program is what its owner is")
{
    need_root();
    const std::filesystem::path program{"/usr/local/bin/belay-test-setuid"};
    std::filesystem::copy_file("/usr/bin/id", program, std::filesystem::copy_options::overwrite_existing);
    REQUIRE(::chmod(program.c_str(), 04755) == 0);
    auto plan = unprivileged({program.string(), "-u"});
    CHECK(output_of(plan) == "64999\n");
    plan.landlock = {};
    plan.system_call_policy = SystemCallPolicy::any;
    plan.privileges = Privileges::exact_without_setpcap;
    plan.no_new_privileges = false;
    CHECK(output_of(plan) == "0\n");
    std::filesystem::remove(program);
}
