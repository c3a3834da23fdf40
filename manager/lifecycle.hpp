// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

/// The manager's life as one table of state × event → state, steps. It follows observed-lifecycle.md row for row.
namespace belay::manager {

enum class State : std::uint8_t
{
    initializing, ///< until the broker is there
    starting,     ///< until all modules are ready
    running,
    idle,               ///< nothing is started until the manager ends; configuration requests are answered
    waiting_for_broker, ///< it is gone, all are stopped, and will be started again when it is back
    resting,            ///< all are stopped, and will be started again
    draining_to_restart,
    terminating_to_restart,
    killing_to_restart,
    draining, ///< modules were asked to shut down
    draining_after_failure,
    terminating, ///< modules got SIGTERM
    terminating_after_failure,
    killing, ///< modules got SIGKILL because they did not end
    killing_after_failure,
    aborting, ///< modules got SIGKILL because the operator is impatient
    exiting,
};

enum class Event : std::uint8_t
{
    connected,      ///< the broker acknowledged the subscriptions
    connected_idle, ///< the same, and there is nothing to start
    give_up,        ///< nothing to start, or no broker to be had
    spawned_ready,  ///< only standalone modules are missing
    all_ready,
    stop,               ///< a signal; modules run, and are ended at once
    stop_gracefully,    ///< a signal; modules run, and are asked first
    stop_idle,          ///< a signal; no module runs
    reload,             ///< SIGHUP; as with `stop`, and then bin/manager begins anew
    reload_gracefully,  ///< the same; modules are asked first
    reload_idle,        ///< the same; no module runs
    fail,               ///< a module ended or could not be started, or the broker is gone; the rest is ended at once
    fail_gracefully,    ///< the same; the rest is asked first
    recover,            ///< a module ended, and all are to be started again; the rest is ended at once
    recover_gracefully, ///< the same; the rest is asked first
    lose_broker,        ///< it is gone while no module needs to be stopped for that, and will be waited for
    deadline,           ///< the state has lasted for its limit
    stopped,            ///< no module runs any more
    stopped_clean,      ///< and each ended with exit code 0
    stopped_exhausted,  ///< and all were started again too often
    stopped_to_idle,    ///< the same, and the manager stays
    stopped_offline,    ///< and there is no broker
};

/// Either a status line or something to do.
enum class Step : std::uint8_t
{
    none,
    // status lines
    manager_initializing,
    manager_starting_modules,
    waiting_for_standalone_modules,
    manager_running,
    all_modules_started,
    sigint_received,
    manager_restart_requested,
    manager_shutdown_requested,
    manager_crash_shutdown_in_progress,
    manager_force_terminating,
    force_shutdown_timeout,
    manager_shutdown_finalizing,
    manager_idle,
    all_modules_stopped_clean,
    crash_recovery_attempt, ///< ":1/3" follows
    crash_recovery_exhausted,
    manager_exiting,
    // actions
    start_modules,
    wait_for_broker,  ///< connects again
    clear_metadata,   ///< unless the topics are to be retained
    announce,         ///< the global ready
    ask_to_shut_down, ///< by MQTT
    terminate,        ///< SIGTERM to each main process
    kill,             ///< SIGKILL to everything that the modules started
    finish_succeeded, ///< clear, disconnect, MANAGER_EXITING, exit 0
    finish_failed,    ///< the same, exit 1
};

/// The line of `--status-fifo`; empty for an action.
[[nodiscard]] std::string_view status_line(Step step);

struct Transition
{
    State state;
    Event event;
    State next;
    std::array<Step, 5> steps; ///< in order, filled up with `none`
};

/// What is not in the table changes nothing.
[[nodiscard]] std::span<const Transition> transitions();

/// What limits the state's duration.
enum class Limit : std::uint8_t
{
    none,
    request, ///< until SIGTERM
    stop,    ///< the modules' shutdown timeouts
    kill,
    abort,
    rest, ///< the delay before a restart
};
[[nodiscard]] Limit limit_of(State state);

class Lifecycle
{
public:
    [[nodiscard]] State state() const { return state_; }

    /// Goes to the next state; the steps are the caller's to take, in order. Null if the event changes nothing.
    const Transition* apply(Event event);

    /// Modules are being stopped.
    [[nodiscard]] bool stopping() const { return state_ >= State::draining_to_restart && state_ != State::exiting; }

    /// Nothing is started any more.
    [[nodiscard]] bool ending() const { return state_ >= State::draining; }

private:
    State state_ = State::initializing;
};

} // namespace belay::manager
