// SPDX-License-Identifier: Apache-2.0
//
// What a module starts ends with it, however it hides. The launcher is the real one.
#include "launcher/children.hpp"
#include "launcher/landlock.hpp"
#include "launcher/leftovers.hpp"
#include "processes.hpp"
#include "running.hpp"

#include <algorithm>

using namespace belay;
using namespace belay::launcher;
namespace fs = std::filesystem;

TEST_CASE("what a module starts ends with it, a daemon too, while the others run on")
{
    const Notes notes;
    auto module = unprivileged({"/bin/sh", "-c", std::string{leave_a_daemon} + "sleep 60 & echo $! >child; read line"});
    module.working_directory = notes.path.string();
    const auto neighbour = unprivileged({"/bin/sh", "-c", "sleep 60 & wait"});
    Running launcher{plan_of({module, neighbour})};
    launcher.say(Start{.module = 1});
    const auto other = launcher.expect<Started>().pid;
    for (unsigned attempt = 0; attempt < 3; ++attempt) {
        fs::remove(notes.path / "stray");
        launcher.say(Start{.attempt = attempt});
        launcher.expect<Started>();
        launcher.expect<Exited>(); // its standard input is empty
        CHECK(ends(notes.pid("child")));
        CHECK(ends(notes.pid("stray")));
    }
    CHECK(exists(other));
    CHECK(comes_true([&] { return proc(launcher.pid, "State").starts_with("S"); }));
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
    CHECK_FALSE(exists(other));
}

TEST_CASE("a daemon stays below its module, and goes when all goes")
{
    const Notes notes;
    auto module = unprivileged({"/bin/sh", "-c", std::string{leave_a_daemon} + "exec sleep 60"});
    module.working_directory = notes.path.string();
    Running launcher{plan_of({module})};
    launcher.say(Start{});
    const auto pid = launcher.expect<Started>().pid;
    REQUIRE(comes_true([&] { return fs::exists(notes.path / "stray"); }));
    const auto stray = notes.pid("stray");
    CHECK(comes_true([&] { return proc(stray, "PPid") == std::to_string(pid); }));
    SECTION("in order")
    {
        launcher.say(Finish{});
        CHECK(launcher.exit_code() == 0);
    }
    SECTION("because the manager is gone")
    {
        launcher.control.reset();
        CHECK(launcher.exit_code() == 1);
    }
    CHECK_FALSE(exists(stray));
}

TEST_CASE("who was there before the launcher is not an orphan of a module")
{
    Running launcher{plan_of({unprivileged({"/bin/true"})}), "", -1, true};
    for (unsigned attempt = 0; attempt < 3;
         ++attempt) { // that there is a third means that the second one's end is done
        launcher.say(Start{.attempt = attempt});
        launcher.expect<Started>();
        launcher.expect<Exited>();
    }
    const auto pid = std::to_string(launcher.pid);
    pid_t earlier = 0;
    std::ifstream children{"/proc/" + pid + "/task/" + pid + "/children"};
    while (children >> earlier && !proc(earlier, "Name").starts_with("sleep")) {
    }
    REQUIRE(children);
    CHECK(proc(earlier, "State").starts_with("S"));
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
    CHECK_FALSE(exists(earlier)); // there is no signal domain that keeps it out of reach
}

TEST_CASE("whoever waits for the end of processes leaves the signals that ask for something")
{
    sigset_t blocked;
    sigset_t before;
    ::sigemptyset(&blocked);
    for (const int number : {SIGCHLD, SIGTERM})
        ::sigaddset(&blocked, number);
    REQUIRE(::sigprocmask(SIG_BLOCK, &blocked, &before) == 0);
    ::raise(SIGTERM);
    if (::fork() == 0) {
        ::pause();
        ::_exit(0);
    }
    CHECK(kill_leftovers({}, 5000, Reach::children));
    sigset_t pending;
    ::sigpending(&pending);
    CHECK(::sigismember(&pending, SIGTERM) == 1);
    const timespec at_once{};
    CHECK(::sigtimedwait(&blocked, nullptr, &at_once) == SIGTERM);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST_CASE("chains of processes that fork and exit do not keep the launcher from its work")
{
    const auto module = bounded({BELAY_CHAIN, "8", "30"});
    Running launcher{plan_of({module, unprivileged({"/bin/sleep", "60"})})};
    launcher.say(Start{});
    launcher.expect<Started>();
    await_chains(module.uid);
    launcher.say(Signal{.signal = SIGKILL, .scope = Scope::tree});
    launcher.expect<Exited>();
    launcher.say(Start{.module = 1});
    launcher.expect<Started>();
    launcher.say(Signal{.module = 1, .signal = SIGTERM});
    launcher.expect<Exited>();
    CHECK(comes_true([&] { return processes_of(module.uid) == 0; }));
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
}

TEST_CASE("in a signal domain, all processes end at once, and nobody else")
{
    need_root();
    if (landlock_abi() < landlock_scopes_abi) {
        WARN("not tested: this kernel's Landlock has no scopes");
        return;
    }
    const auto module = bounded({BELAY_CHAIN, "8", "30"});
    auto plan = plan_of({module});
    plan.signal_domain = true;
    const pid_t bystander = ::fork();
    if (bystander == 0) {
        ::execl("/bin/sleep", "sleep", "60", nullptr);
        ::_exit(127);
    }
    Running launcher{plan};
    launcher.say(Start{});
    launcher.expect<Started>();
    await_chains(module.uid);
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
    CHECK(processes_of(module.uid) == 0);
    CHECK(::waitpid(bystander, nullptr, WNOHANG) == 0);
    REQUIRE(::kill(bystander, SIGKILL) == 0);
    CHECK(::waitpid(bystander, nullptr, 0) == bystander);
}

TEST_CASE("a process that entered a signal domain can be sure of whom it reaches")
{
    need_root();
    if (landlock_abi() < landlock_scopes_abi)
        return;
    const pid_t inside = ::fork();
    if (inside == 0) {
        if (reaches_nobody_else() || !enter_signal_domain() || !reaches_nobody_else())
            ::_exit(1);
        ::kill(-1, SIGKILL); // there is nobody yet
        if (::fork() == 0)
            ::_exit(reaches_nobody_else() ? 2 : 0); // its parent is in the domain: it cannot be sure
        int status = 0;
        ::_exit(::wait(&status) > 0 && status == 0 ? 0 : 3);
    }
    int status = -1;
    CHECK(::waitpid(inside, &status, 0) == inside);
    CHECK(status == 0);
}

TEST_CASE("nobody is sure to reach only its own without a domain")
{
    CHECK_FALSE(reaches_nobody_else());
}

TEST_CASE("both ways to list children find the same")
{
    std::array<pid_t, 3> children{};
    for (auto& child : children)
        if ((child = ::fork()) == 0) {
            ::pause();
            ::_exit(0);
        }
    std::array<pid_t, 64> listed{};
    const auto count = list_children_of_kernel(listed);
    REQUIRE(count >= 3);
    std::vector<pid_t> searched(64);
    searched.resize(list_children_by_search(searched));
    std::sort(searched.begin(), searched.end());
    std::sort(listed.begin(), listed.begin() + count);
    CHECK(std::vector<pid_t>(listed.begin(), listed.begin() + count) == searched);
    for (const auto child : children) {
        CHECK(std::binary_search(searched.begin(), searched.end(), child));
        REQUIRE(::kill(child, SIGKILL) == 0);
        CHECK(::waitpid(child, nullptr, 0) == child);
    }
    std::array<pid_t, 1> small{};
    CHECK(list_children_by_search(small) <= 1);
}
