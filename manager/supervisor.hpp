// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/conversation.hpp"
#include "manager/launcher_client.hpp"
#include "manager/lifecycle.hpp"
#include "manager/manager.hpp"
#include "manager/module_output.hpp"
#include "manager/readiness.hpp"
#include "manager/restarter.hpp"
#include "manager/status_fifo.hpp"
#include "manager/timeline.hpp"

#include <map>
#include <memory>
#include <set>

namespace belay::manager {

/// Brings the parts together: what happens becomes an event of the lifecycle, and its steps become packets to the
/// launcher, messages to the modules and status lines.
class Supervisor final : private LauncherListener, private ConversationListener
{
public:
    Supervisor(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
               const Options& options, Inheritance inheritance, std::shared_ptr<spdlog::logger> log, LogStyle style);

    /// Begins; the event loop ends with the exit code when everything is over.
    void start();

private:
    struct Process
    {
        pid_t pid = 0; ///< 0 until it executes
        FileDescriptor handle;
    };

    void on_started(const launcher::Started& started, FileDescriptor process, FileDescriptor output) override;
    void on_start_failed(const launcher::StartFailed& failed) override;
    void on_exited(const launcher::Exited& exited) override;
    void on_signal(int signal) override;
    void on_launcher_gone(const std::string& why) override;
    void on_connected() override;
    void on_broker_failed(const std::string& why) override;
    void on_asked(const std::string& module) override;
    void on_answered(const std::string& module) override;
    void on_module_ready(const std::string& module) override;
    void on_flushed() override;

    void apply(Event event);
    void perform(Step step);
    void fail();
    void say(Step line);
    void start_modules();
    void restart(std::uint32_t module, unsigned attempt);
    void ended_by_itself(const launcher::Exited& exited, const std::string& id, const std::string& how);
    void remind();
    void announce();
    void announce_in_time();
    void signal_modules(int signal, launcher::Scope scope);
    void begin_finish(int code);
    void finish();
    [[nodiscard]] pid_t pid_of(const std::string& module) const;
    void record(std::string_view event, const std::string& module, std::uint64_t now_ns);
    [[nodiscard]] const std::string* module_id(std::uint32_t index) const;
    [[nodiscard]] static Readiness make_readiness(const config::Configuration& configuration,
                                                  const launcher::LaunchPlan& plan);
    [[nodiscard]] static std::set<std::string> awaited(const config::Configuration& configuration);

    EventLoop& loop_;
    const config::Configuration& configuration_;
    const launcher::LaunchPlan& plan_;
    const Options& options_;
    std::shared_ptr<spdlog::logger> log_;
    std::uint64_t begin_ns_;
    std::uint64_t announced_ns_ = 0; ///< 0: never
    StatusFifo status_fifo_;
    Timeline timeline_;
    Lifecycle lifecycle_;
    Readiness readiness_;
    LauncherClient launcher_;
    Conversation conversation_;
    ModuleOutput output_;
    Timer deadline_;
    Timer finish_deadline_;
    Timer next_announcement_;
    Timer next_reminder_;
    Restarter restarter_;
    RateLimit rate_limit_;

    std::map<std::uint32_t, Process> running_; ///< from the request to start until the end
    bool all_clean_ = true;                    ///< each module that ended while stopping ended with exit code 0
    int exit_code_ = 1;
    bool finished_ = false;
};

} // namespace belay::manager
