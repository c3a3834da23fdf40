// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/broker_recovery.hpp"
#include "manager/conversation.hpp"
#include "manager/heartbeat.hpp"
#include "manager/lifecycle.hpp"
#include "manager/manager.hpp"
#include "manager/module_watchdogs.hpp"
#include "manager/parameter_store.hpp"
#include "manager/processes.hpp"
#include "manager/repeats.hpp"
#include "manager/restarter.hpp"
#include "manager/roll_call.hpp"
#include "manager/service_status.hpp"
#include "manager/status_fifo.hpp"
#include "manager/timeline.hpp"

namespace belay::manager {

/// Brings the parts together: what happens to processes, over MQTT and in the roll call becomes an event of the
/// lifecycle, and its steps become orders to the processes, messages to the modules and status lines.
class Supervisor final : private ProcessListener,
                         private ConversationListener,
                         private RollCallListener,
                         private HeartbeatListener
{
public:
    Supervisor(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
               const Options& options, Inheritance inheritance, ParameterStore& store,
               std::shared_ptr<spdlog::logger> log, LogStyle style);

    /// Begins; the event loop ends with the exit code when everything is over.
    void start();

private:
    void on_process_ended(const End& end) override;
    void on_signal(int signal) override;
    void on_watchdog(const launcher::WatchdogState& state) override;
    void on_unkillable(std::uint32_t module) override;
    void on_launcher_gone(const std::string& why) override;

    void on_connected() override;
    void on_broker_unreachable(const std::string& why) override;
    void on_broker_lost(const std::string& why) override;
    void on_metadata_published() override;
    void on_broker_alive() override;
    void on_asked(const std::string& module) override;
    void on_answered(const std::string& module) override;
    void on_module_ready(const std::string& module) override;
    void on_flushed() override;

    void on_spawned_ready() override;
    void on_all_ready() override;
    pid_t pid_of(const std::string& id) override;

    void on_module_hangs(std::uint32_t module, const std::string& why) override;
    bool ask_broker() override;
    void on_broker_hangs(std::chrono::nanoseconds silence) override;
    std::string objection() override;

    void apply(Event event);
    void perform(Step step);
    void note_stopped();
    [[nodiscard]] bool nothing_to_start() const;
    [[nodiscard]] bool becomes_idle() const;
    [[nodiscard]] bool asks_first() const; ///< modules, before it ends them
    void say(std::string_view line);
    void update_status();
    [[nodiscard]] std::string describe_charger() const;
    [[nodiscard]] std::string describe_stop() const;
    [[nodiscard]] std::optional<std::chrono::milliseconds> limit() const;
    void start_modules();
    void restart(std::uint32_t module, unsigned attempt);
    void announce();
    void judge_ended();
    void judge_silence();
    void lose_broker();
    void become_idle();
    void judge(const End& end);
    void follow(const Restarter::Decision& decision, const End& end);
    void fail();
    void recover();
    void stop();
    void reload();
    void begin_finish(int code);
    void finish();
    void record(std::string_view event, const std::string& module);
    void record_step(std::string_view step, const std::string& why);

    EventLoop& loop_;
    const config::Configuration& configuration_;
    const launcher::LaunchPlan& plan_;
    const Options& options_;
    ParameterStore& store_;
    std::shared_ptr<spdlog::logger> log_;
    std::uint64_t begin_ns_; ///< of the manager, or of the last restart of all
    StatusFifo status_fifo_;
    Timeline timeline_;
    Lifecycle lifecycle_;
    Processes processes_;
    Conversation conversation_;
    RollCall roll_call_;
    Restarter restarter_;
    BrokerRecovery broker_recovery_;
    Heartbeat heartbeat_;
    ModuleWatchdogs module_watchdogs_;
    std::string last_reset_; ///< the explanation of a reset before this start; empty: none
    ServiceStatus service_status_;
    Timer deadline_;
    Timer finish_deadline_;
    Timer answer_deadline_;
    RateLimit rate_limit_;
    Repeats repeats_;

    std::set<std::uint32_t> done_; ///< modules that ended as they may, and are not started again
    std::vector<End> ended_;       ///< before it is known whether the broker is alive
    Restarter::Decision recovery_; ///< the last restart of all
    bool exhausted_ = false;       ///< too many restarts of all
    bool told_to_stop_ = false;
    bool others_must_come_again_ = false; ///< standalone modules ended with the rest
    bool announced_ = false;
    bool all_clean_ = true; ///< each module that ended while stopping ended with exit code 0
    std::string failure_;   ///< why all are stopped, if nobody asked for it
    int exit_code_ = 1;
    bool reloads_ = false; ///< what is stopped is not the end
    bool finished_ = false;
};

} // namespace belay::manager
