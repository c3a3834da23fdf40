// SPDX-License-Identifier: Apache-2.0
//
// Heartbeats, what is fed and what is recorded. A real device is in tests/system.
#include "launcher/clock.hpp"
#include "launcher/durable_file.hpp"
#include "launcher/feeding.hpp"
#include "launcher/step_record.hpp"
#include "running.hpp"

#include <iterator>
#include <vector>

#include <sys/resource.h>

using namespace belay;
using namespace belay::launcher;

namespace {

std::string content(const std::filesystem::path& path)
{
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

/// Heartbeats, and no hardware: one is due every 333 ms, and missed after half a second.
LaunchPlan watched_plan(const TemporaryDirectory& directory, std::vector<ProcessPlan> modules)
{
    auto plan = plan_of(std::move(modules));
    plan.watchdog.wanted = true;
    plan.watchdog.timeout_s = 1;
    plan.watchdog.heartbeat_ms = 400;
    plan.watchdog.record_directory = directory.path.string();
    plan.watchdog.history = "boot 1234\n";
    return plan;
}

/// What systemd would hear: it is not there, and the socket is not looked at.
const ServiceManager nobody{nullptr};

Feeding feeding_of(const WatchdogPlan& plan, std::uint32_t systemd_ms)
{
    auto feeding = Feeding::begin(plan, systemd_ms);
    REQUIRE(feeding);
    return std::move(*feeding);
}

} // namespace

TEST_CASE("systemd's watchdog is taken where it is meant for this process")
{
    CHECK(systemd_watchdog_ms(nullptr, nullptr, 7) == 0);
    CHECK(systemd_watchdog_ms("20000000", nullptr, 7) == 20000);
    CHECK(systemd_watchdog_ms("20000000", "7", 7) == 20000);
    CHECK(systemd_watchdog_ms("20000000", "8", 7) == 0);
    CHECK(systemd_watchdog_ms("20000000", "", 7) == 0);
    for (const auto* text : {"", "x", "-1", "1000x", "99999999999999999999999"})
        CHECK(systemd_watchdog_ms(text, nullptr, 7) == 0);
}

TEST_CASE("the shortest timeout says when heartbeats are due")
{
    WatchdogPlan plan;
    SECTION("nobody watches")
    {
        CHECK_FALSE(feeding_of(plan, 0).expects_heartbeats());
    }
    SECTION("systemd alone")
    {
        const auto state = feeding_of(plan, 20000).state();
        CHECK((state.interval_ms == 5000 && state.deadline_ms == 10000 && state.systemd_ms == 20000));
    }
    SECTION("belay.yaml alone, without a device")
    {
        plan.wanted = true;
        const auto state = feeding_of(plan, 0).state();
        CHECK((state.interval_ms == 7500 && state.deadline_ms == 15000 && state.timeout_ms == 0));
    }
    SECTION("the interval that was wanted, but for one that would be too long")
    {
        plan.wanted = true;
        plan.heartbeat_ms = 2000;
        CHECK(feeding_of(plan, 0).state().interval_ms == 2000);
        CHECK(feeding_of(plan, 3000).state().interval_ms == 1000);
    }
}

TEST_CASE("only heartbeats that vouch put the deadline off, and a process that did not run itself excuses once")
{
    WatchdogPlan plan;
    plan.wanted = true;
    auto feeding = feeding_of(plan, 0);
    constexpr auto s = ns_per_s;
    CHECK_FALSE(feeding.missed(1000 * s)); // none is expected yet
    feeding.expect_first(100 * s);
    CHECK(feeding.due_ns() == 115 * s);
    feeding.heartbeat(false, 110 * s, nobody);
    CHECK(feeding.due_ns() == 115 * s);
    feeding.heartbeat(true, 110 * s, nobody);
    CHECK(feeding.due_ns() == 125 * s);
    CHECK_FALSE(feeding.missed(125 * s - 1));
    SECTION("in time")
    {
        CHECK(feeding.missed(125 * s));
    }
    SECTION("too late to blame the manager")
    {
        CHECK_FALSE(feeding.missed(140 * s));
        CHECK(feeding.due_ns() == 155 * s);
        CHECK(feeding.missed(170 * s));
    }
    SECTION("no more")
    {
        feeding.expect_no_more();
        CHECK_FALSE(feeding.missed(1000 * s));
        feeding.heartbeat(true, 126 * s, nobody);
        CHECK(feeding.due_ns() == 0);
    }
}

TEST_CASE("a device that cannot be used is an error that names it and the remedy")
{
    WatchdogPlan plan;
    plan.wanted = true;
    const auto sentence = [&] {
        const auto feeding = Feeding::begin(plan, 20000);
        REQUIRE_FALSE(feeding);
        return feeding.error();
    };
    plan.device = "/dev/watchdog77";
    CHECK(sentence() == "the watchdog /dev/watchdog77: it is not there: No such file or directory; load its driver, or "
                        "correct `device` in belay.yaml");
    plan.require = false;
    CHECK(feeding_of(plan, 20000).state().error == ENOENT);
    plan.require = true;
    plan.device = "/dev/null";
    CHECK(sentence() ==
          "the watchdog /dev/null: it is no watchdog: Inappropriate ioctl for device; correct `device` in "
          "belay.yaml");
    plan.device = "/tmp";
    CHECK(sentence() == "the watchdog /tmp: it is no character device; correct `device` in belay.yaml");
}

TEST_CASE("steps are durable lines, the oldest of which make room, and nobody can forge one")
{
    const TemporaryDirectory directory{"steps"};
    WatchdogPlan plan;
    plan.record_directory = directory.path.string();
    plan.history = "boot 1234\n";
    const auto file = directory.path / StepRecord::file_name;
    constexpr std::uint32_t longest_ms = 10000;
    StepRecord record{plan};
    record.add("exit one\n99 stopped in order");
    record.settle(longest_ms);
    const auto text = content(file);
    CHECK(text.starts_with("boot 1234\n"));
    CHECK(text.ends_with(" exit one 99 stopped in order\n"));
    CHECK(std::count(text.begin(), text.end(), '\n') == 2);
    for (int i = 0; i < 100; ++i)
        record.add(std::string(400, 'x'));
    record.settle(longest_ms);
    CHECK(content(file).size() <= StepRecord::largest);
    CHECK(std::filesystem::exists(file));
    plan.history = "boot 1234\n" + std::string(StepRecord::largest - 20, 'y') + "\nlast\n";
    StepRecord full{plan};
    full.add("exit two");
    full.settle(longest_ms);
    CHECK(content(file).starts_with("boot 1234\nlast\n"));
    CHECK(content(file).ends_with(" exit two\n"));
    plan.history = std::string(StepRecord::largest - 1, 'z') + '\n'; // not one of ours
    StepRecord foreign{plan};
    foreign.add("exit three");
    foreign.settle(longest_ms);
    CHECK(content(file).ends_with(" exit three\n"));
    CHECK(content(file).size() < 512);
    CHECK((std::filesystem::status(file).permissions() & std::filesystem::perms::all) == std::filesystem::perms{0644});
}

TEST_CASE("whoever has no descriptor left does not wait for a record that is written")
{
    const TemporaryDirectory directory{"steps"};
    WatchdogPlan plan;
    plan.record_directory = directory.path.string();
    StepRecord record{plan};
    rlimit former{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &former) == 0);
    constexpr rlim_t few = 64;
    const rlimit limit{few, former.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    std::vector<FileDescriptor> all;
    while (all.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC))) {
    }
    const auto begin = monotonic_ns();
    record.add("exit one");
    record.settle(20000);
    const auto end = monotonic_ns();
    all.clear();
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &former) == 0);
    CHECK(end - begin < 10000 * ns_per_ms);
    CHECK(content(directory.path / StepRecord::file_name).ends_with(" exit one\n"));
}

TEST_CASE("a record that cannot be written is no reason to fail")
{
    WatchdogPlan plan;
    plan.record_directory = "/nonexistent";
    StepRecord record{plan};
    record.add("exit one");
    CHECK(replace_durably(-1, "x", "y") == EBADF);
    CHECK(replace_durably(AT_FDCWD, std::string(300, 'x').c_str(), "y") == ENAMETOOLONG);
}

TEST_CASE("a manager that says too much neither takes the launcher's words away nor says to which boot they belong")
{
    const TemporaryDirectory directory{"steps"};
    Running launcher{watched_plan(directory, {unprivileged({"/bin/sleep", "60"})})};
    launcher.expect<WatchdogState>();
    Record record;
    std::fill(record.text.begin(), record.text.end(), 'x');
    for (int i = 0; i < 100; ++i)
        launcher.say(record);
    CHECK(launcher.exit_code() == 1);
    const auto text = content(directory.path / StepRecord::file_name);
    CHECK(text.size() <= StepRecord::largest);
    CHECK(text.starts_with("boot 1234\n"));
    CHECK(text.find(" stop-all the manager did not vouch for the modules for 0.5 s\n") != std::string::npos);
    CHECK(text.ends_with(" exit code 1; the service manager decides what follows\n"));
}

TEST_CASE("without a heartbeat the launcher stops all modules, and records why")
{
    const TemporaryDirectory directory{"steps"};
    Running launcher{watched_plan(directory, {unprivileged({"/bin/sleep", "60"})})};
    const auto state = launcher.expect<WatchdogState>();
    CHECK((state.interval_ms == 333 && state.deadline_ms == 500));
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    SECTION("none came") {}
    SECTION("none that vouches")
    {
        for (unsigned i = 0; i < 20; ++i)
            send(launcher.control.get(), Heartbeat{.healthy = 0, .sequence = i});
    }
    CHECK(launcher.exit_code() == 1);
    CHECK_FALSE(exists(module));
    const auto text = content(directory.path / StepRecord::file_name);
    CHECK(text.find(" started ") != std::string::npos);
    CHECK(text.find(" stop-all the manager did not vouch for the modules for 0.5 s\n") != std::string::npos);
    CHECK(text.ends_with(" exit code 1; the service manager decides what follows\n"));
}

TEST_CASE("a disk that does not answer keeps the launcher from nothing")
{
    const TemporaryDirectory directory{"steps"};
    const auto draft = directory.path / (std::string{StepRecord::file_name} + std::string{draft_suffix});
    REQUIRE(::mkfifo(draft.c_str(), 0600) == 0); // whoever opens it for writing waits until somebody reads
    Running launcher{watched_plan(directory, {unprivileged({"/bin/sleep", "60"})})};
    launcher.expect<WatchdogState>();
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    launcher.say(Record{});
    launcher.say(Heartbeat{.healthy = 1});
    launcher.say(Signal{.signal = SIGTERM});
    CHECK(launcher.expect<Exited>().pid == module);
    launcher.say(Finish{});
    REQUIRE(ends(launcher.pid));
    CHECK(launcher.exit_code() == 0);
    CHECK(std::filesystem::is_fifo(draft));
}

TEST_CASE("heartbeats keep it going, and an end in order is recorded as such")
{
    const TemporaryDirectory directory{"steps"};
    Running launcher{watched_plan(directory, {unprivileged({"/bin/sleep", "60"})})};
    launcher.expect<WatchdogState>();
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    const auto end = monotonic_ns() + 1200 * ns_per_ms; // more than twice the deadline
    for (std::uint64_t sequence = 0; monotonic_ns() < end; ++sequence) {
        launcher.say(Heartbeat{.healthy = 1, .sequence = sequence});
        pollfd silence{launcher.control.get(), POLLIN, 0};
        REQUIRE(::poll(&silence, 1, 100) == 0); // it has nothing to say
    }
    CHECK(exists(module));
    Record record;
    std::strcpy(record.text.data(), "abort-module me: I hang");
    launcher.say(record);
    REQUIRE(::kill(launcher.pid, SIGTERM) == 0);
    launcher.expect<SignalReceived>();
    launcher.say(Finish{.exit_code = 0});
    CHECK(launcher.exit_code() == 0);
    const auto text = content(directory.path / StepRecord::file_name);
    CHECK(text.find(" abort-module me: I hang\n") != std::string::npos);
    CHECK(text.ends_with(" stopped in order\n"));
}

TEST_CASE("what the manager does by itself is no stop in order")
{
    const TemporaryDirectory directory{"steps"};
    Running launcher{watched_plan(directory, {})};
    launcher.expect<WatchdogState>();
    launcher.say(Finish{.exit_code = 0});
    CHECK(launcher.exit_code() == 0);
    CHECK(content(directory.path / StepRecord::file_name)
              .ends_with(" exit code 0; the service manager decides what follows\n"));
}

TEST_CASE("a module that is stopped dies of SIGABRT, too")
{
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"})})};
    launcher.say(Start{});
    const auto module = launcher.expect<Started>().pid;
    REQUIRE(::kill(module, SIGSTOP) == 0);
    launcher.say(Signal{.signal = SIGABRT});
    CHECK(WTERMSIG(launcher.expect<Exited>().status) == SIGABRT);
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
}

TEST_CASE("a module is told its own pid where it is to send WATCHDOG=1")
{
    const Notes notes;
    auto module = unprivileged(
        {"/bin/sh", "-c",
         "echo $WATCHDOG_PID >" + (notes.path / "told").string() + "; echo $$ >" + (notes.path / "own").string()});
    module.environment.push_back("WATCHDOG_PID=");
    auto plan = plan_of({module});
    const TemporaryDirectory runtime{"notify"};
    plan.notify_directory = (runtime.path / "sockets").string();
    REQUIRE(std::filesystem::create_directory(plan.notify_directory));
    std::ofstream{plan.notify_directory + "/0"} << "a socket";
    Running launcher{plan};
    launcher.say(Start{});
    launcher.expect<Started>();
    launcher.expect<Exited>();
    CHECK(notes.pid("told") == notes.pid("own"));
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
    CHECK_FALSE(std::filesystem::exists(plan.notify_directory));
}
