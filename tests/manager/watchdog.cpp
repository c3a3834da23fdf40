// SPDX-License-Identifier: Apache-2.0
//
// What the manager concludes from /proc, from what modules say, and from the record of an earlier boot.
#include "manager/last_reset.hpp"
#include "manager/module_watchdogs.hpp"
#include "manager/vitals.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <csignal>
#include <utility>

#include <linux/watchdog.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belay::manager;
using namespace std::chrono_literals;

TEST_CASE("the state of a process is found behind whatever name it has")
{
    CHECK(state_of("12 (sleep) S 1 12") == 'S');
    CHECK(state_of("12 (a) T (b) R) D 1 12") == 'D');
    for (const auto* text : {"", "12", "12 (x", "12 (x)", "12 (x) "})
        CHECK(state_of(text) == '\0');
}

TEST_CASE("context switches of both kinds are counted")
{
    CHECK(switches_of("Name:\tx\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n") == 695U);
    for (const auto* text : {"", "Name:\tx\n", "\nvoluntary_ctxt_switches:\t1\n",
                             "\nvoluntary_ctxt_switches:\tx\nnonvoluntary_ctxt_switches:\t1\n"})
        CHECK_FALSE(switches_of(text));
}

TEST_CASE("a process that is held without having run in between hangs")
{
    Pulse pulse;
    const std::vector<HeldThread> stopped{{7, 'T', 100}};
    CHECK_FALSE(pulse.look(stopped, 7, 0s, 10s));
    CHECK_FALSE(pulse.look(stopped, 7, 9s, 10s));
    SECTION("for long enough")
    {
        CHECK(pulse.look(stopped, 7, 10s, 10s) == "stopped (state T) for 10.0 s");
    }
    SECTION("it ran")
    {
        CHECK_FALSE(pulse.look({{7, 'T', 101}}, 7, 10s, 10s));
        CHECK_FALSE(pulse.look({{7, 'T', 101}}, 7, 19s, 10s));
        CHECK(pulse.look({{7, 'T', 101}}, 7, 20s, 10s));
    }
    SECTION("it was free at one look")
    {
        CHECK_FALSE(pulse.look({}, 7, 10s, 10s));
        CHECK_FALSE(pulse.look(stopped, 7, 11s, 10s));
    }
    SECTION("it is held in another way")
    {
        CHECK_FALSE(pulse.look({{7, 'D', 100}}, 7, 10s, 10s));
        CHECK(pulse.look({{7, 'D', 100}}, 7, 20s, 10s) ==
              "waiting in the kernel without progress (state D) for 10.0 s");
    }
    SECTION("one of its threads")
    {
        CHECK_FALSE(pulse.look({{8, 't', 5}}, 7, 10s, 10s));
        CHECK(pulse.look({{8, 't', 5}}, 7, 25s, 10s) == "thread 8 is stopped by a tracer (state t) for 15.0 s");
    }
}

namespace {

/// Ends with the test, however that ends.
class StoppedChild
{
public:
    StoppedChild() : pid_(::fork())
    {
        if (pid_ == 0) {
            ::raise(SIGSTOP);
            ::_exit(0);
        }
        int status = 0;
        REQUIRE(::waitpid(pid_, &status, WUNTRACED) == pid_);
    }
    StoppedChild(const StoppedChild&) = delete;
    StoppedChild& operator=(const StoppedChild&) = delete;
    ~StoppedChild() { end(); }

    [[nodiscard]] pid_t pid() const { return pid_; }

    void end()
    {
        if (std::exchange(ended_, true))
            return;
        int status = 0;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, &status, 0);
    }

private:
    pid_t pid_;
    bool ended_ = false;
};

} // namespace

TEST_CASE("held threads of a real process")
{
    StoppedChild child;
    const auto held = held_threads(child.pid());
    REQUIRE(held);
    // An emulator of processes has threads of its own in each.
    const auto main = std::find_if(held->begin(), held->end(),
                                   [&](const HeldThread& thread) { return thread.thread == child.pid(); });
    REQUIRE(main != held->end());
    CHECK(main->state == 'T');
    CHECK(main->switches > 0);
    child.end();
    CHECK(held_threads(child.pid())->empty());
    CHECK(held_threads(::getpid())->empty());
}

TEST_CASE("of what a module says, only its watchdog counts")
{
    CHECK(notice_of("WATCHDOG=1") == Notice::alive);
    CHECK(notice_of("READY=1\nWATCHDOG=1\n") == Notice::alive);
    CHECK(notice_of("WATCHDOG=1\nWATCHDOG=trigger") == Notice::trigger);
    for (const auto* text : {"", "\n\n", "WATCHDOG=", "WATCHDOG=11", "XWATCHDOG=1", "STATUS=WATCHDOG=1", "READY=1"})
        CHECK(notice_of(text) == Notice::nothing);
}

TEST_CASE("a record is read, whatever is in it")
{
    const auto steps = parse_steps("9 forgotten\nboot abc\n1 started\n\n2 exit x");
    CHECK(steps.boot == "abc");
    CHECK(steps.lines == std::vector<std::string>{"1 started", "2 exit x"});
    CHECK(parse_steps("").boot.empty());
    // Who reads it has a terminal, and who wrote it may be anybody: U+009B begins an escape sequence.
    CHECK(parse_steps("boot abc\n1 exit \xc2\x9b"
                      "2J\x7f")
              .lines == std::vector<std::string>{"1 exit ??2J?"});
}

TEST_CASE("how a boot ended is told by the last step and the watchdog")
{
    const auto told = [](std::vector<std::string> lines, std::optional<unsigned> status) {
        return explain_end({"abc", std::move(lines)}, status).value_or("");
    };
    CHECK(told({}, WDIOF_CARDRESET).empty());
    CHECK(told({"1 started"}, WDIOF_CARDRESET) ==
          "The watchdog has reset the machine (WDIOC_GETBOOTSTATUS: CARDRESET).\n"
          "No step was taken before: whoever would have taken one had no time for it, or did not run.\n"
          "The last steps of the charger:\n  1970-01-01 00:00:01 UTC started");
    const auto by_hand = told({"1 started", "2 exit slac (pid 3): hung"}, 0U);
    CHECK(by_hand.starts_with("The machine went down without a stop of the charger, and not by the watchdog "
                              "(WDIOC_GETBOOTSTATUS: 0): a power cut, a panic of the kernel, or a reset by hand.\n"));
    CHECK(by_hand.ends_with("\n  1970-01-01 00:00:02 UTC exit slac (pid 3): hung"));
    CHECK(told({"1 started"}, std::nullopt).find("no watchdog that tells why") != std::string::npos);
    CHECK(told({"1 started", "2 stopped in order"}, 0U).empty());
    CHECK(told({"1 started", "2 stopped in order"}, WDIOF_CARDRESET | WDIOF_OVERHEAT).find("(nowayout)") !=
          std::string::npos);
    CHECK(told({"x", "99999999999999999999 exit"}, 0U).ends_with("\n  x\n  99999999999999999999 exit"));
}

TEST_CASE("where the record is")
{
    CHECK(state_directory("/opt/x", {}) == "/opt/x/var/lib/everest");
    CHECK(state_directory("/usr", {}) == "/var/lib/everest");
    CHECK(state_directory("/usr", {{"STATE_DIRECTORY", "/var/lib/a:/var/lib/b"}}) == "/var/lib/a");
}
