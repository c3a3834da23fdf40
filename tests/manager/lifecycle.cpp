// SPDX-License-Identifier: Apache-2.0
#include "manager/lifecycle.hpp"

#include <catch2/catch.hpp>

#include <initializer_list>
#include <set>
#include <string>
#include <utility>

using namespace belay::manager;

namespace {

/// The status lines of a sequence of events, and the exit code at its end.
std::string lines(std::initializer_list<Event> events)
{
    Lifecycle lifecycle;
    std::string text = "MANAGER_INITIALIZING";
    const auto add = [&](std::string_view line) { text.append(" ").append(line); };
    for (const auto event : events) {
        const auto* transition = lifecycle.apply(event);
        if (transition == nullptr)
            return text + " (no such transition)";
        for (const auto step : transition->steps) {
            if (const auto line = status_line(step); !line.empty())
                add(line);
            if (step == Step::finish_succeeded)
                add("MANAGER_EXITING 0");
            if (step == Step::finish_failed)
                add("MANAGER_EXITING 1");
        }
    }
    return text;
}

const std::string start = "MANAGER_INITIALIZING MANAGER_STARTING_MODULES MANAGER_RUNNING ALL_MODULES_STARTED ";
const std::string crash = "MANAGER_SHUTDOWN_REQUESTED MANAGER_CRASH_SHUTDOWN_IN_PROGRESS MANAGER_FORCE_TERMINATING "
                          "MANAGER_SHUTDOWN_FINALIZING ";

} // namespace

TEST_CASE("the status lines are those of observed-lifecycle.md")
{
    using enum Event;
    // SIGINT while running; one module ignored; one module stopped (SIGKILL after 5 s)
    const auto at_once = start + "SIGINT_RECEIVED MANAGER_SHUTDOWN_REQUESTED MANAGER_FORCE_TERMINATING "
                                 "MANAGER_SHUTDOWN_FINALIZING MANAGER_EXITING 0";
    CHECK(lines({connected, all_ready, stop, stopped}) == at_once);
    CHECK(lines({connected, all_ready, stop, deadline, stopped}) == at_once);
    // SIGTERM while running, --graceful-shutdown
    CHECK(lines({connected, all_ready, stop_gracefully, stopped_clean}) ==
          start + "SIGINT_RECEIVED MANAGER_SHUTDOWN_REQUESTED MANAGER_SHUTDOWN_FINALIZING ALL_MODULES_STOPPED_CLEAN "
                  "MANAGER_EXITING 0");
    // SIGHUP: what follows is another manager
    CHECK(lines({connected, all_ready, reload, stopped}) ==
          start + "MANAGER_RESTART_REQUESTED MANAGER_FORCE_TERMINATING MANAGER_SHUTDOWN_FINALIZING MANAGER_EXITING 0");
    CHECK(lines({connected, all_ready, reload_gracefully, stopped_clean}) ==
          start + "MANAGER_RESTART_REQUESTED MANAGER_SHUTDOWN_FINALIZING ALL_MODULES_STOPPED_CLEAN MANAGER_EXITING 0");
    // a module is killed; the broker dies
    CHECK(lines({connected, all_ready, fail, stopped}) == start + crash + "MANAGER_EXITING 1");
    // no modules configured
    CHECK(lines({give_up}) == "MANAGER_INITIALIZING MANAGER_EXITING 1");
    // a standalone module never comes, SIGINT
    CHECK(lines({connected, spawned_ready, stop, stopped}) ==
          "MANAGER_INITIALIZING MANAGER_STARTING_MODULES WAITING_FOR_STANDALONE_MODULES SIGINT_RECEIVED "
          "MANAGER_SHUTDOWN_REQUESTED MANAGER_FORCE_TERMINATING MANAGER_SHUTDOWN_FINALIZING MANAGER_EXITING 0");
    // SIGINT, one module is stopped, --graceful-shutdown
    CHECK(lines({connected, all_ready, stop_gracefully, deadline, deadline, stopped}) ==
          start + "SIGINT_RECEIVED MANAGER_SHUTDOWN_REQUESTED MANAGER_FORCE_TERMINATING FORCE_SHUTDOWN_TIMEOUT "
                  "MANAGER_SHUTDOWN_FINALIZING MANAGER_EXITING 0");
    // a second SIGINT meanwhile
    CHECK(lines({connected, all_ready, stop_gracefully, stop, stopped}) ==
          start + "SIGINT_RECEIVED MANAGER_SHUTDOWN_REQUESTED MANAGER_EXITING 1");
    // SIGINT before anything was started
    CHECK(lines({stop_idle}) == "MANAGER_INITIALIZING SIGINT_RECEIVED MANAGER_EXITING 0");
}

TEST_CASE("a restart of all has the lines of EVerest's crash recovery")
{
    using enum Event;
    const std::string attempt = "CRASH_RECOVERY_ATTEMPT MANAGER_STARTING_MODULES ";
    const std::string running = "MANAGER_RUNNING ALL_MODULES_STARTED ";
    // a module is killed, later SIGINT, --recover-module-crashes
    CHECK(lines({connected, all_ready, recover, stopped, deadline, all_ready, stop, stopped}) ==
          start + crash + attempt + running +
              "SIGINT_RECEIVED MANAGER_SHUTDOWN_REQUESTED MANAGER_FORCE_TERMINATING MANAGER_SHUTDOWN_FINALIZING "
              "MANAGER_EXITING 0");
    CHECK(lines({connected, all_ready, recover, deadline, stopped, deadline, all_ready, fail, stopped_exhausted}) ==
          start + crash + attempt + running + crash + "CRASH_RECOVERY_EXHAUSTED MANAGER_EXITING 1");
    CHECK(lines({connected, all_ready, recover_gracefully, stopped, deadline, recover, stopped, deadline, all_ready,
                 stop_idle}) ==
          start + "MANAGER_SHUTDOWN_REQUESTED MANAGER_CRASH_SHUTDOWN_IN_PROGRESS MANAGER_SHUTDOWN_FINALIZING " +
              attempt + crash + attempt + running + "SIGINT_RECEIVED MANAGER_EXITING 0");
}

TEST_CASE("a manager without modules has the lines of EVerest's idle one")
{
    using enum Event;
    // SIGINT while idle, --into-idle; no modules configured, SIGTERM, --idle-on-failure
    CHECK(lines({connected_idle, stop_idle}) == "MANAGER_INITIALIZING MANAGER_IDLE SIGINT_RECEIVED MANAGER_EXITING 0");
    CHECK(lines({connected_idle, fail}) == "MANAGER_INITIALIZING MANAGER_IDLE MANAGER_EXITING 1");
    CHECK(lines({connected_idle, lose_broker, stop_idle}) ==
          "MANAGER_INITIALIZING MANAGER_IDLE SIGINT_RECEIVED MANAGER_EXITING 0");
    // a module is killed four times, then SIGINT, --recover-module-crashes --idle-on-failure
    const auto idle = "CRASH_RECOVERY_EXHAUSTED MANAGER_IDLE SIGINT_RECEIVED MANAGER_EXITING 0";
    CHECK(lines({connected, all_ready, fail, stopped_to_idle, stop_idle}) == start + crash + idle);
    CHECK(lines({connected, all_ready, fail, deadline, stopped_to_idle, stop_idle}) == start + crash + idle);
    CHECK(lines({connected, all_ready, fail_gracefully, stopped_to_idle, stop_idle}) ==
          start + "MANAGER_SHUTDOWN_REQUESTED MANAGER_CRASH_SHUTDOWN_IN_PROGRESS MANAGER_SHUTDOWN_FINALIZING " + idle);
}

TEST_CASE("a broker that is waited for brings all back, with the lines of a recovery")
{
    using enum Event;
    const std::string again = "CRASH_RECOVERY_ATTEMPT MANAGER_STARTING_MODULES MANAGER_RUNNING ALL_MODULES_STARTED";
    CHECK(lines({connected, all_ready, recover, stopped_offline, connected, all_ready}) == start + crash + again);
    CHECK(lines({connected, all_ready, recover, deadline, stopped_offline, lose_broker, connected, all_ready}) ==
          start + crash + again);
    CHECK(lines({connected, all_ready, recover, stopped, lose_broker, connected, all_ready}) == start + crash + again);
    CHECK(lines({connected, all_ready, recover_gracefully, lose_broker, stopped_offline, connected, all_ready}) ==
          start + crash + again);
    CHECK(lines({connected, all_ready, recover_gracefully, stopped_offline, connected, all_ready}) ==
          start + "MANAGER_SHUTDOWN_REQUESTED MANAGER_CRASH_SHUTDOWN_IN_PROGRESS MANAGER_SHUTDOWN_FINALIZING " + again);
    CHECK(lines({connected, all_ready, recover, stopped_offline, stop_idle}) ==
          start + crash + "SIGINT_RECEIVED MANAGER_EXITING 0");
    CHECK(lines({connected, all_ready, recover, stopped_offline, fail}) == start + crash + "MANAGER_EXITING 1");
}

TEST_CASE("a signal while all are stopped to be started again ends in order")
{
    using enum Event;
    const std::string end = "SIGINT_RECEIVED MANAGER_SHUTDOWN_FINALIZING MANAGER_EXITING 0";
    const std::string requested = start + "MANAGER_SHUTDOWN_REQUESTED MANAGER_CRASH_SHUTDOWN_IN_PROGRESS ";
    CHECK(lines({connected, all_ready, recover, stop, stopped}) == requested + "MANAGER_FORCE_TERMINATING " + end);
    CHECK(lines({connected, all_ready, recover, deadline, stop, stopped}) ==
          requested + "MANAGER_FORCE_TERMINATING " + end);
    CHECK(lines({connected, all_ready, recover_gracefully, stop, stopped}) == requested + end);
    CHECK(lines({connected, all_ready, recover, stopped, stop_idle}) ==
          start + crash + "SIGINT_RECEIVED MANAGER_EXITING 0");
}

TEST_CASE("without the broker nothing is started again")
{
    using enum Event;
    CHECK(lines({connected, all_ready, recover, fail, stopped}) == start + crash + "MANAGER_EXITING 1");
    CHECK(lines({connected, all_ready, recover, deadline, fail, stopped}) == start + crash + "MANAGER_EXITING 1");
    CHECK(lines({connected, all_ready, recover_gracefully, fail, stopped}) == start + crash + "MANAGER_EXITING 1");
    CHECK(lines({connected, all_ready, recover, stopped, fail}) == start + crash + "MANAGER_EXITING 1");
}

TEST_CASE("a module that crashes while others are asked to shut down by then keeps the exit code 1")
{
    using enum Event;
    CHECK(lines({connected, fail_gracefully, stopped}) ==
          "MANAGER_INITIALIZING MANAGER_STARTING_MODULES MANAGER_SHUTDOWN_REQUESTED "
          "MANAGER_CRASH_SHUTDOWN_IN_PROGRESS MANAGER_SHUTDOWN_FINALIZING MANAGER_EXITING 1");
    CHECK(lines({connected, all_ready, fail, stop, stopped}) ==
          start + "MANAGER_SHUTDOWN_REQUESTED MANAGER_CRASH_SHUTDOWN_IN_PROGRESS MANAGER_FORCE_TERMINATING "
                  "SIGINT_RECEIVED MANAGER_EXITING 1");
}

TEST_CASE("the metadata is cleared before the status lines, and those come before the announcement")
{
    Lifecycle lifecycle;
    lifecycle.apply(Event::connected);
    const auto* transition = lifecycle.apply(Event::all_ready);
    REQUIRE(transition != nullptr);
    CHECK(transition->steps == std::array{Step::clear_metadata, Step::manager_running, Step::all_modules_started,
                                          Step::announce, Step::none});
    CHECK(lifecycle.apply(Event::all_ready) != nullptr);
    CHECK(lifecycle.state() == State::running);
}

TEST_CASE("the table is sound")
{
    std::set<std::pair<State, Event>> seen;
    for (const auto& row : transitions()) {
        CAPTURE(static_cast<int>(row.state), static_cast<int>(row.event));
        CHECK(seen.emplace(row.state, row.event).second);
        CHECK(row.state != State::exiting);
    }
    // Every state that lasts only so long says what happens then, and knows the end of all modules.
    for (auto state = State::initializing; state < State::exiting;
         state = static_cast<State>(static_cast<int>(state) + 1))
        if (limit_of(state) != Limit::none) {
            CAPTURE(static_cast<int>(state));
            CHECK(seen.contains({state, Event::deadline}));
            CHECK(seen.contains({state, state == State::resting ? Event::stop_idle : Event::stopped}));
        }
}
