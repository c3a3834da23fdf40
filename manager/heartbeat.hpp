// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/protocol.hpp"
#include "manager/event_loop.hpp"
#include "manager/processes.hpp"
#include "manager/vitals.hpp"

#include <spdlog/logger.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace belay::manager {

class HeartbeatListener
{
public:
    /// The module gets nowhere, and is not being ended yet. `why`: a clause.
    virtual void on_module_hangs(std::uint32_t module, const std::string& why) = 0;
    /// Asks; the answer is Heartbeat::on_broker_alive(). False if there is no connection.
    virtual bool ask_broker() = 0;
    virtual void on_broker_hangs(std::chrono::nanoseconds silence) = 0;
    /// Why the manager cannot vouch for the charger now; empty if it can. What has gone wrong and is being remedied
    /// within a deadline is no reason.
    virtual std::string objection() = 0;

protected:
    ~HeartbeatListener() = default;
};

/// Tells the launcher, as often as it wants to hear that, that the event loop runs and what is in its care is alive;
/// looks after it for that purpose, and at no other time. Without a watchdog there is no heartbeat, and no wake-up.
class Heartbeat
{
public:
    Heartbeat(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
              Processes& processes, spdlog::logger& log, HeartbeatListener& listener);

    /// The launcher wants heartbeats.
    void begin(const launcher::WatchdogState& state);
    [[nodiscard]] bool begun() const { return interval_.count() > 0; }
    void on_broker_alive() { asked_ = {}; }

private:
    void beat();
    void look_after_modules();
    void look_after_broker();

    const config::Configuration& configuration_;
    const launcher::LaunchPlan& plan_;
    Processes& processes_;
    spdlog::logger& log_;
    HeartbeatListener& listener_;
    Timer timer_;
    std::chrono::milliseconds interval_{0};
    std::chrono::milliseconds patience_{0}; ///< with the broker
    std::uint64_t sequence_ = 0;
    std::map<pid_t, Pulse> pulses_;
    std::chrono::nanoseconds asked_{}; ///< when the broker was asked what it has not answered yet; 0: nothing
    std::string objection_;
    bool blind_ = false; ///< it was said that /proc does not show the modules
};

} // namespace belay::manager
