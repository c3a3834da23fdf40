// SPDX-License-Identifier: Apache-2.0
#include "manager/access.hpp"
#include "manager/endpoint.hpp"
#include "manager/exit_text.hpp"
#include "manager/log.hpp"
#include "manager/module_output.hpp"
#include "manager/readiness.hpp"
#include "manager/repeats.hpp"
#include "manager/status_fifo.hpp"
#include "manager/timeline.hpp"
#include "manager/topics.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace belay;
using namespace belay::manager;
using namespace std::chrono_literals;

namespace {

std::string read_some(int descriptor)
{
    std::array<char, 4096> buffer{};
    const ssize_t length = ::read(descriptor, buffer.data(), buffer.size());
    return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0))};
}

struct Pipe
{
    Pipe()
    {
        std::array<int, 2> ends{};
        REQUIRE(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
        reader = FileDescriptor(ends[0]);
        writer = FileDescriptor(ends[1]);
    }
    FileDescriptor reader;
    FileDescriptor writer;
};

} // namespace

TEST_CASE("topics are built and recognised")
{
    const Topics topics("everest/");
    CHECK(topics.of_module("slac", "response") == "everest/modules/slac/response");
    CHECK(topics.rest_of("everest/config/request") == "config/request");
    CHECK(topics.rest_of("everest2/config/request").empty());
    CHECK(topics.ready_module("everest/modules/slac/ready") == "slac");
    CHECK(topics.ready_module("everest/modules//ready").empty());
    CHECK(topics.ready_module("everest/ready").empty());
    CHECK(topics.ready_module("other/modules/slac/ready").empty());
    CHECK(topics.is_metadata("everest/interfaces"));
    CHECK(topics.is_metadata("everest/manifests/EvseSlac"));
    CHECK(topics.is_metadata("everest/module_config_cache"));
    CHECK_FALSE(topics.is_metadata("everest/manifests/settings")); // of a manager with this prefix
    CHECK_FALSE(topics.is_metadata("everest/ready"));
    CHECK_FALSE(topics.is_metadata("everest2/interfaces"));
}

TEST_CASE("only a plausible module id becomes part of a topic")
{
    CHECK(is_module_id("evse_manager-1.a"));
    for (const std::string bad : {"", "#", "+", "a/b", "a+", "1a", "a b", "a\n"})
        CHECK_FALSE(is_module_id(bad));
    CHECK_FALSE(is_module_id(std::string("a\0b", 3)));
    CHECK_FALSE(is_module_id(std::string(129, 'a')));
}

TEST_CASE("readiness counts all but the ignored")
{
    using enum Readiness::Outcome;
    Readiness all({"a", "b"}, {});
    CHECK(all.mark("x") == unknown_module);
    CHECK(all.mark("a") == progress);
    CHECK(all.mark("a") == progress);
    CHECK(all.mark("b") == all_ready);
    CHECK(all.mark("a") == all_ready);

    Readiness mixed({"a", "b"}, {"probe", "other"});
    CHECK(mixed.missing() == std::vector<std::string>{"a", "b", "other", "probe"});
    CHECK(mixed.mark("probe") == progress);
    CHECK(mixed.mark("a") == progress);
    CHECK(mixed.mark("b") == spawned_ready);
    CHECK(mixed.mark("a") == progress);
    CHECK(mixed.missing() == std::vector<std::string>{"other"});
    CHECK(mixed.mark("other") == all_ready);
    CHECK(mixed.missing().empty());
    mixed.begin(false); // those that others start are still there
    CHECK(mixed.missing() == std::vector<std::string>{"a", "b"});
    CHECK(mixed.mark("a") == progress);
    CHECK(mixed.mark("b") == all_ready);
    mixed.begin(true);
    CHECK(mixed.missing() == std::vector<std::string>{"a", "b", "other", "probe"});
    CHECK(mixed.mark("a") == progress);
    CHECK(mixed.mark("b") == spawned_ready);
}

TEST_CASE("things are counted in English")
{
    CHECK(counted(0, "module") == "0 modules");
    CHECK(counted(1, "module") == "1 module");
    CHECK(counted(2, "retained topic") == "2 retained topics");
}

TEST_CASE("the same signal within half a second of the first is the same one")
{
    Repeats repeats;
    CHECK_FALSE(repeats.is_repeat(SIGINT, 10s));
    CHECK(repeats.is_repeat(SIGINT, 10s));
    CHECK_FALSE(repeats.is_repeat(SIGTERM, 10s));
    CHECK(repeats.is_repeat(SIGINT, 10499ms));
    CHECK_FALSE(repeats.is_repeat(SIGINT, 10500ms));
    CHECK(repeats.is_repeat(SIGINT, 10999ms));
}

TEST_CASE("access is the requester's own, or granted to it")
{
    config::Module module;
    module.id = "a";
    CHECK(may_read(module, "a"));
    CHECK(may_write(module, "a"));
    CHECK_FALSE(may_read(module, "b"));
    module.access = config::Access{};
    CHECK_FALSE(may_read(module, "b"));
    module.access->modules["b"] = {true, false, true};
    CHECK(may_read(module, "b"));
    CHECK_FALSE(may_write(module, "b"));
    CHECK(may_set_read_only(module, "b"));
    CHECK_FALSE(may_read(module, "c"));
    module.access->allow_global_write = true;
    CHECK(may_write(module, "c"));
    CHECK_FALSE(may_read(module, "c"));
}

TEST_CASE("a terminal shows debug lines, with colours and without")
{
    int of_us = -1;
    int of_log = -1;
    REQUIRE(openpty(&of_us, &of_log, nullptr, nullptr, nullptr) == 0);
    const FileDescriptor ours{of_us};
    const FileDescriptor terminal{of_log};
    const FileDescriptor before{::dup(STDERR_FILENO)};
    const Pipe pipe;
    const auto level_with_stderr = [&](int descriptor, LogStyle style) {
        ::dup2(descriptor, STDERR_FILENO);
        const auto level = make_log(style)->level();
        ::dup2(before.get(), STDERR_FILENO);
        return level;
    };
    CHECK(level_with_stderr(terminal.get(), LogStyle::coloured) == spdlog::level::debug);
    CHECK(level_with_stderr(terminal.get(), LogStyle::plain) == spdlog::level::debug);
    CHECK(level_with_stderr(pipe.writer.get(), LogStyle::plain) == spdlog::level::info);
}

TEST_CASE("the status FIFO delivers line for line, and ends with its reader")
{
    std::signal(SIGPIPE, SIG_IGN);
    const auto path = std::filesystem::temp_directory_path() / ("belay-fifo-" + std::to_string(getpid()));
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    FileDescriptor reader(open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    StatusFifo fifo(FileDescriptor(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)));
    std::filesystem::remove(path);
    CHECK(fifo.write("MANAGER_RUNNING"));
    CHECK(fifo.write("ALL_MODULES_STARTED"));
    CHECK(read_some(reader.get()) == "MANAGER_RUNNING\nALL_MODULES_STARTED\n");
    reader.reset();
    CHECK(fifo.write("X") == tl::unexpected(EPIPE));
    CHECK(fifo.write("X"));
    CHECK(StatusFifo(FileDescriptor{}).write("X"));
}

TEST_CASE("the timeline is one object a line")
{
    Pipe pipe;
    Timeline timeline(std::move(pipe.writer), 1'000'000);
    timeline.record("ready", "slac", 12, 3'500'000);
    timeline.record("all_ready", "", 0, 4'000'000);
    CHECK(read_some(pipe.reader.get()) == "{\"event\":\"ready\",\"module\":\"slac\",\"pid\":12,\"t_ms\":2.5}\n"
                                          "{\"event\":\"all_ready\",\"t_ms\":3.0}\n");
}

TEST_CASE("module output is prefixed line by line, and its length bounded")
{
    std::string partial;
    CHECK(prefix_lines("a | ", partial, "one\ntw") == "a | one\n");
    CHECK(prefix_lines("a | ", partial, "o\n\n") == "a | two\na | \n");
    const auto text = prefix_lines("", partial, std::string(20000, 'x'));
    CHECK(text.size() == 2 * 8193);
    CHECK(partial.size() == 20000 - 2 * 8192);
}

TEST_CASE("prefixes are padded to the longest id")
{
    CHECK(line_prefix("car", 0, 8, false) == "car      | ");
    CHECK(line_prefix("intruder", 1, 8, false) == "intruder | ");
    CHECK(line_prefix("unexpected", 1, 8, false) == "unexpected | ");
    CHECK(line_prefix("car", 7, 8, true) == "\033[33mcar      |\033[0m ");
}

TEST_CASE("how a process ended is said in words")
{
    CHECK(describe_exit(3 << 8) == "exit code 3");
    CHECK(describe_exit(SIGKILL) == "killed by SIGKILL (9)");
    CHECK(describe_exit(SIGSEGV | 0x80) == "killed by SIGSEGV (11), core dumped");
    launcher::ProcessPlan plan;
    launcher::Exited exited{.status = SIGKILL};
    CHECK(describe_exit(exited, plan) == "killed by SIGKILL (9)");
    exited.out_of_memory = 1;
    CHECK(describe_exit(exited, plan) == "killed by the kernel: out of memory (of the whole machine or service)");
    plan.cgroup = {{"memory.max", "268435456"}, {"memory.oom.group", "1"}};
    CHECK(describe_exit(exited, plan) == "killed by the kernel: out of memory (memory.max 256M)");
    plan.cgroup = {{"memory.max", "1000"}};
    exited.status = 3 << 8;
    CHECK(describe_exit(exited, plan) ==
          "exit code 3, after the kernel killed a process of it: out of memory (memory.max 1000)");
}

TEST_CASE("a forbidden system call is named, with its group and what to do about it")
{
    const auto number = std::to_string(SYS_mount);
    CHECK(describe_exit(SIGKILL, SYS_mount) == "killed for calling mount (" + number + ")");
    CHECK(explain_system_call(SYS_mount, "slac") ==
          "killed for calling mount (" + number +
              "), which its system call filter does not allow; if it must, add \"mount\" or \"@mount\" to sandbox: "
              "system_calls of \"slac\" in belay.yaml");
    CHECK_THAT(explain_system_call(SYS_process_mrelease, "slac"),
               Catch::Contains("add \"process_mrelease\" to sandbox: system_calls"));
    CHECK_THAT(explain_system_call(SYS_bpf, "slac"), Catch::Contains("add \"bpf\" to sandbox: system_calls"));
    CHECK(explain_system_call(1'000'000, "slac") ==
          "killed for calling a system call without a name (1000000), which its system call filter does not allow");
}

TEST_CASE("a socket that may not be connected to is explained")
{
    const auto path = std::filesystem::temp_directory_path() / ("belay-denied-" + std::to_string(getpid()));
    FileDescriptor file(open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    REQUIRE(fchmod(file.get(), 0644) == 0);
    constexpr uid_t nobody = 65534;
    const auto explain = [&](const Visitor& visitor) { return explain_denied(path.string(), visitor); };
    CHECK_THAT(explain({nobody, nobody, {}, false}),
               Catch::Contains(path.string()) && Catch::Contains("0644 -rw-r--r--") && Catch::Contains("UMask=0007"));
    CHECK(explain(ourselves()).empty());
    CHECK(explain({nobody, nobody, {}, true}).empty());
    REQUIRE(fchmod(file.get(), 0660) == 0);
    CHECK(explain({nobody, nobody, {getegid()}, false}).empty());
    belay::launcher::LaunchPlan plan;
    plan.modules.resize(3);
    for (auto& module : plan.modules) {
        module.privileges = belay::launcher::Privileges::exact;
        module.uid = module.gid = nobody;
    }
    plan.modules[0].id = "a";
    plan.modules[1].id = "b";
    plan.modules[2].groups = {getegid()};
    const auto denied = denied_modules(path.string(), plan);
    REQUIRE(denied.size() == 1);
    CHECK_THAT(denied[0], Catch::StartsWith("a, b: the broker will be out of reach: " + path.string()));
    std::filesystem::remove(path);
    CHECK(explain({nobody, nobody, {}, false}).empty()); // it is not there; that is said elsewhere
}

TEST_CASE("who is not ready is told in one line, however many they are")
{
    Readiness few({"one", "two"}, {"three"});
    CHECK(few.summary() == "0 of 3 ready, waiting for one, two, three");
    few.mark("two");
    CHECK(few.summary() == "1 of 3 ready, waiting for one, three");
    few.mark("one");
    few.mark("three");
    CHECK(few.summary() == "All 3 modules are ready");
    few.forget("two");
    CHECK(few.summary() == "2 of 3 ready, waiting for two");

    std::set<std::string, std::less<>> ids;
    for (int i = 100; i < 200; ++i)
        ids.insert("charging_station_" + std::to_string(i));
    const auto text = Readiness{ids, {}}.summary();
    CHECK(text.starts_with("0 of 100 ready, waiting for charging_station_100, charging_station_101, "));
    CHECK(text.ends_with(", charging_station_105 and 94 more"));
    CHECK(text.size() < 200);
    const auto longest = Readiness{{std::string(128, 'a'), std::string(128, 'b')}, {}}.summary();
    CHECK(longest == "0 of 2 ready, waiting for " + std::string(128, 'a') + " and 1 more");
}
