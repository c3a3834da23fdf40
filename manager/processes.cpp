// SPDX-License-Identifier: Apache-2.0
#include "manager/processes.hpp"

#include "launcher/stages.hpp"
#include "manager/core_dump.hpp"
#include "manager/exit_text.hpp"
#include "manager/stray_processes.hpp"
#include "manager/topics.hpp"

#include <algorithm>
#include <csignal>
#include <fmt/format.h>
#include <utility>

namespace belay::manager {

namespace {

constexpr std::chrono::milliseconds longest_kill{5000};

std::size_t longest_id(const launcher::LaunchPlan& plan)
{
    std::size_t result = 0;
    for (const auto& module : plan.modules)
        result = std::max(result, module.id.size());
    return result;
}

} // namespace

Processes::Processes(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                     FileDescriptor control, Timeline& timeline, spdlog::logger& log, LogStyle style,
                     ProcessListener& listener)
    : loop_(loop),
      configuration_(configuration),
      plan_(plan),
      timeline_(timeline),
      log_(log),
      listener_(listener),
      output_(loop, style == LogStyle::coloured, longest_id(plan)),
      launcher_(loop, std::move(control), *this)
{}

const config::Module& Processes::settings_of(std::uint32_t module) const
{
    return configuration_.modules.at(plan_.modules[module].id);
}

std::string Processes::name_of(std::uint32_t module, const Process& process) const
{
    return plan_.modules[module].id + " (pid " + std::to_string(process.pid) + ")";
}

void Processes::start(std::uint32_t module, unsigned attempt)
{
    running_.try_emplace(
        module, loop_, [this, module] { end_late(module); }, [this, module] { be_overdue(module); });
    launcher_.start(module, attempt);
}

void Processes::terminate(std::uint32_t module, Process& process)
{
    if (process.terminated_ns != 0)
        return;
    process.terminated_ns = monotonic_ns();
    launcher_.signal(module, SIGTERM, launcher::Scope::process);
    process.stop_deadline.arm(settings_of(module).policy.shutdown_timeout);
}

/// What it did not do, before it is killed.
std::string Processes::reproach(const Process& process, std::chrono::nanoseconds limit) const
{
    if (process.terminated_ns == 0)
        return {};
    const auto waited = std::min(std::chrono::nanoseconds{monotonic_ns() - process.terminated_ns}, limit);
    return fmt::format("did not end within {:.1f} s of {}; ", std::chrono::duration<double>{waited}.count(),
                       process.hung.empty() ? "SIGTERM" : "SIGABRT");
}

void Processes::kill(std::uint32_t module, Process& process)
{
    if (std::exchange(process.killed, true))
        return;
    launcher_.signal(module, SIGKILL, launcher::Scope::tree);
    process.stop_deadline.arm(longest_kill);
    log_entry(log_, spdlog::level::warn, about(JournalMessage::module_killed, plan_.modules[module].id, process.pid),
              fmt::format("{}: {}killing it and what it started", name_of(module, process),
                          reproach(process, settings_of(module).policy.shutdown_timeout)));
}

/// Time is up for what was asked of it last.
void Processes::be_overdue(std::uint32_t module)
{
    auto& process = running_.at(module);
    if (!process.killed)
        return kill(module, process);
    log_entry(log_, spdlog::level::critical, about(JournalMessage::ladder_step, plan_.modules[module].id, process.pid),
              fmt::format("{}: survives SIGKILL: it is stuck in the kernel", name_of(module, process)));
    listener_.on_unkillable(module);
}

void Processes::abort(std::uint32_t module, const std::string& why)
{
    const auto found = running_.find(module);
    if (found == running_.end() || found->second.terminated_ns != 0)
        return;
    auto& process = found->second;
    log_entry(log_, spdlog::level::err, about(JournalMessage::ladder_step, plan_.modules[module].id, process.pid),
              fmt::format("{}: hangs: {}; aborting it", name_of(module, process), why));
    process.hung = why;
    process.startup_deadline.disarm();
    process.terminated_ns = monotonic_ns();
    launcher_.signal(module, SIGABRT, launcher::Scope::process);
    process.stop_deadline.arm(settings_of(module).policy.shutdown_timeout);
}

std::vector<Processes::Executing> Processes::executing() const
{
    std::vector<Executing> result;
    for (const auto& [module, process] : running_)
        if (process.pid != 0 && process.terminated_ns == 0 && !process.killed)
            result.push_back({module, process.pid});
    return result;
}

std::string Processes::name_of(std::uint32_t module) const
{
    const auto found = running_.find(module);
    return found == running_.end() ? plan_.modules[module].id : name_of(module, found->second);
}

void Processes::terminate_all()
{
    if (!running_.empty())
        log_.info("terminating {} of {}", running_.size(), counted(plan_.modules.size(), "module"));
    for (auto& [module, process] : running_)
        terminate(module, process);
}

void Processes::kill_all()
{
    for (auto& [module, process] : running_)
        kill(module, process);
}

void Processes::end_late(std::uint32_t module)
{
    auto& process = running_.at(module);
    const Topics topics{configuration_.settings.broker.everest_prefix};
    const auto& id = plan_.modules[module].id;
    log_entry(log_, spdlog::level::err, about(JournalMessage::module_late, id, process.pid),
              fmt::format("{}: not ready within {:.1f} s of its start: no ModuleReady came on {}; ending it",
                          name_of(module, process),
                          std::chrono::duration<double>{*settings_of(module).policy.startup_timeout}.count(),
                          topics.ready(id)));
    process.late = true;
    terminate(module, process);
}

bool Processes::note_ready(const std::string& id)
{
    for (auto& [module, process] : running_) {
        if (plan_.modules[module].id != id)
            continue;
        process.startup_deadline.disarm();
        return !process.late;
    }
    // Of one that has ended everybody on the bus can say so; a standalone one is not in the plan.
    return std::ranges::none_of(plan_.modules, [&](const auto& module) { return module.id == id; });
}

void Processes::cancel_startup_deadlines()
{
    for (auto& [module, process] : running_)
        process.startup_deadline.disarm();
}

std::chrono::milliseconds Processes::longest_stop() const
{
    std::chrono::milliseconds result{0};
    for (const auto& [module, process] : running_)
        result = std::max(result, settings_of(module).policy.shutdown_timeout);
    return result;
}

std::chrono::milliseconds Processes::longest_request() const
{
    std::chrono::milliseconds result{0};
    for (const auto& [module, process] : running_) {
        const auto& policy = settings_of(module).policy;
        result = std::max(result, policy.request_timeout.value_or(policy.shutdown_timeout));
    }
    return result;
}

pid_t Processes::pid_of(const std::string& id) const
{
    for (const auto& [module, process] : running_)
        if (plan_.modules[module].id == id)
            return process.pid;
    return 0;
}

void Processes::on_started(const launcher::Started& started, FileDescriptor handle, FileDescriptor output)
{
    const auto found = running_.find(started.module);
    if (found == running_.end())
        return on_launcher_gone("it started a module that it was not asked to start");
    auto& process = found->second;
    const auto& id = plan_.modules[started.module].id;
    process.pid = started.pid;
    process.handle = std::move(handle);
    process.executed_ns = started.executed_ns;
    if (const auto& limit = settings_of(started.module).policy.startup_timeout; limit && process.terminated_ns == 0)
        process.startup_deadline.arm(*limit);
    log_entry(log_, spdlog::level::trace, about(JournalMessage::module_started, id, started.pid),
              name_of(started.module, process) + ": started");
    timeline_.record("forked", id, started.pid, started.forked_ns);
    timeline_.record("executed", id, started.pid, started.executed_ns);
    if (output)
        output_.add(id, started.module, std::move(output));
}

void Processes::on_start_failed(const launcher::StartFailed& failed)
{
    if (running_.erase(failed.module) == 0)
        return on_launcher_gone("it could not start a module that it was not asked to start");
    End end;
    end.module = failed.module;
    end.failure = {static_cast<launcher::StageId>(failed.stage), failed.error};
    end.how = launcher::explain(end.failure) + " [" + plan_.modules[failed.module].program + "]";
    listener_.on_process_ended(end);
}

void Processes::on_exited(const launcher::Exited& exited)
{
    const auto found = running_.find(exited.module);
    if (found == running_.end())
        return on_launcher_gone("a module ended that it was not asked to start");
    const auto now = monotonic_ns();
    timeline_.record("exited", plan_.modules[exited.module].id, exited.pid, now);
    End end;
    end.module = exited.module;
    end.pid = exited.pid;
    end.status = exited.status;
    end.late = found->second.late;
    end.hung = !found->second.hung.empty();
    const auto before = end.hung ? "hung (" + found->second.hung + "), " : end.late ? "not ready in time, " : "";
    end.how = before + describe_exit(exited, plan_.modules[exited.module]) +
              explain_core(exited.status, exited.pid, plan_.modules[exited.module], core_pattern());
    end.ran = std::chrono::nanoseconds{now - found->second.executed_ns};
    running_.erase(found);
    if (exited.system_call >= 0)
        log_entry(log_, spdlog::level::err, about_module(plan_.modules[exited.module].id, exited.pid),
                  fmt::format("{} (pid {}): {}", plan_.modules[exited.module].id, exited.pid,
                              explain_system_call(exited.system_call, plan_.modules[exited.module].id)));
    listener_.on_process_ended(end);
}

void Processes::on_launcher_gone(const std::string& why)
{
    // It was their parent; now only their process groups are left, and where nobody else is within reach, all who are.
    for (const auto& [module, process] : running_)
        if (process.pid > 1)
            ::kill(-process.pid, SIGKILL);
    if (plan_.signal_domain)
        kill_all_within_reach();
    const auto killed = counted(std::exchange(running_, {}).size(), "module");
    listener_.on_launcher_gone(why + "; killed " + killed);
}

} // namespace belay::manager
