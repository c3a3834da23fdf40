// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "manager/launcher_client.hpp"
#include "manager/log.hpp"
#include "manager/module_entries.hpp"
#include "manager/module_output.hpp"
#include "manager/timeline.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace belay::manager {

class ProcessListener
{
public:
    virtual void on_process_ended(const End& end) = 0;
    virtual void on_signal(int signal) = 0;
    virtual void on_watchdog(const launcher::WatchdogState& state) = 0;
    /// It survives SIGKILL.
    virtual void on_unkillable(std::uint32_t module) = 0;
    /// All processes were killed; nothing follows.
    virtual void on_launcher_gone(const std::string& why) = 0;

protected:
    ~ProcessListener() = default;
};

/// The processes of the modules, which have the plan's numbers, and their deadlines: one that is not ready in time
/// after its start is ended, one that does not end in time after SIGTERM or SIGABRT is killed with all that it started.
/// What it means that one ends is the listener's matter.
class Processes final : private LauncherListener
{
public:
    Processes(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
              FileDescriptor control, Timeline& timeline, spdlog::logger& log, LogStyle style,
              ProcessListener& listener);

    void start(std::uint32_t module, unsigned attempt);
    void terminate_all(); ///< SIGTERM to the main processes, and SIGKILL for each when its time is up
    /// SIGABRT, for its core; then SIGKILL when its time is up. Nothing, if it does not run. `why`: a clause.
    void abort(std::uint32_t module, const std::string& why);
    void kill_all(); ///< SIGKILL to all that the modules have started

    /// How long the running modules may take after SIGTERM.
    [[nodiscard]] std::chrono::milliseconds longest_stop() const;

    /// How long the running modules may take after they were asked by MQTT.
    [[nodiscard]] std::chrono::milliseconds longest_request() const;

    /// It is ready; false if that comes too late, or it does not run.
    bool note_ready(const std::string& id);

    /// Nobody is waited for any more.
    void cancel_startup_deadlines();

    /// Those that were asked to start and did not end.
    [[nodiscard]] std::size_t count() const { return running_.size(); }

    [[nodiscard]] bool has(std::uint32_t module) const { return running_.contains(module); }

    struct Executing
    {
        std::uint32_t module;
        pid_t pid;
    };
    /// Those that execute and are not being ended.
    [[nodiscard]] std::vector<Executing> executing() const;

    /// "slac (pid 123)"
    [[nodiscard]] std::string name_of(std::uint32_t module) const;

    /// 0 if it does not execute.
    [[nodiscard]] pid_t pid_of(const std::string& id) const;

    /// Shows what the modules have printed until now.
    void drain_output() { output_.drain(); }

    /// For what is not about processes: notifications and the end.
    [[nodiscard]] LauncherClient& launcher() { return launcher_; }

private:
    struct Process
    {
        Process(EventLoop& loop, std::function<void()> on_late, std::function<void()> on_stuck)
            : startup_deadline(loop, std::move(on_late)), stop_deadline(loop, std::move(on_stuck))
        {}
        pid_t pid = 0; ///< 0 until it executes
        FileDescriptor handle;
        std::uint64_t executed_ns = 0;
        bool late = false;
        std::string hung;                ///< why it is being aborted; empty: it is not
        std::uint64_t terminated_ns = 0; ///< 0: not yet
        bool killed = false;
        Timer startup_deadline;
        Timer stop_deadline;
    };

    void on_started(const launcher::Started& started, FileDescriptor process, FileDescriptor output) override;
    void on_start_failed(const launcher::StartFailed& failed) override;
    void on_exited(const launcher::Exited& exited) override;
    void on_signal(int signal) override { listener_.on_signal(signal); }
    void on_watchdog(const launcher::WatchdogState& state) override { listener_.on_watchdog(state); }
    void on_launcher_gone(const std::string& why) override;

    void terminate(std::uint32_t module, Process& process);
    void kill(std::uint32_t module, Process& process);
    void end_late(std::uint32_t module);
    void be_overdue(std::uint32_t module);
    [[nodiscard]] std::string reproach(const Process& process, std::chrono::nanoseconds limit) const;
    [[nodiscard]] const config::Module& settings_of(std::uint32_t module) const;
    [[nodiscard]] std::string name_of(std::uint32_t module, const Process& process) const;

    EventLoop& loop_;
    const config::Configuration& configuration_;
    const launcher::LaunchPlan& plan_;
    Timeline& timeline_;
    spdlog::logger& log_;
    ProcessListener& listener_;
    ModuleOutput output_;
    std::map<std::uint32_t, Process> running_; ///< from the request to start until the end
    LauncherClient launcher_;
};

} // namespace belay::manager
