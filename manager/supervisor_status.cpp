// SPDX-License-Identifier: Apache-2.0
//
// What the supervisor has systemd show of the charger.
#include "manager/endpoint.hpp"
#include "manager/supervisor.hpp"

namespace belay::manager {

namespace {

constexpr std::size_t longest_failure = 150; // of what a message to the launcher has room for

} // namespace

void Supervisor::update_status()
{
    const auto state = lifecycle_.state();
    const bool settled =
        state == State::idle || state == State::exiting || (state == State::running && roll_call_.complete());
    service_status_.update(!settled);
}

std::string Supervisor::describe_charger() const
{
    switch (lifecycle_.state()) {
    case State::initializing:
    case State::waiting_for_broker:
        return "Waiting for the MQTT broker at " + describe(configuration_.settings.broker);
    case State::starting:
    case State::running:
        return roll_call_.summary();
    case State::idle:
        return "Idle: no module is started";
    case State::resting:
        return "All modules are started again soon: attempt " + std::to_string(recovery_.attempt) + " of " +
               std::to_string(recovery_.burst);
    default:
        return describe_stop();
    }
}

std::string Supervisor::describe_stop() const
{
    const auto failure = printable(failure_, longest_failure);
    if (lifecycle_.state() == State::exiting)
        return reloads_ ? "Reloading" : exit_code_ != 0 && !failure.empty() ? failure : "Stopped";
    const auto still = counted(processes_.count(), "module") + " still to end";
    if (reloads_)
        return "Reloading: " + still;
    return failure.empty() ? "Stopping: " + still : failure + "; stopping all: " + still;
}

} // namespace belay::manager
