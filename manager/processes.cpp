// SPDX-License-Identifier: Apache-2.0
#include "manager/processes.hpp"

#include "launcher/stages.hpp"
#include "manager/exit_text.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

namespace belay::manager {

namespace {

std::size_t longest_id(const launcher::LaunchPlan& plan)
{
    std::size_t result = 0;
    for (const auto& module : plan.modules)
        result = std::max(result, module.id.size());
    return result;
}

} // namespace

Processes::Processes(EventLoop& loop, const launcher::LaunchPlan& plan, FileDescriptor control, Timeline& timeline,
                     spdlog::logger& log, LogStyle style, ProcessListener& listener)
    : plan_(plan),
      timeline_(timeline),
      log_(log),
      listener_(listener),
      output_(loop, style == LogStyle::coloured, longest_id(plan)),
      launcher_(loop, std::move(control), *this)
{}

void Processes::start(std::uint32_t module, unsigned attempt)
{
    running_[module] = {};
    launcher_.start(module, attempt);
}

void Processes::terminate_all()
{
    if (!running_.empty())
        log_.info("terminating {} of {}", running_.size(), counted(plan_.modules.size(), "module"));
    signal_all(SIGTERM, launcher::Scope::process);
}

void Processes::kill_all()
{
    log_.warn("killing what has not ended yet: {} of {}", running_.size(), counted(plan_.modules.size(), "module"));
    signal_all(SIGKILL, launcher::Scope::tree);
}

void Processes::signal_all(int signal, launcher::Scope scope)
{
    for (const auto& [module, process] : running_)
        launcher_.signal(module, signal, scope);
}

pid_t Processes::pid_of(const std::string& id) const
{
    for (const auto& [module, process] : running_)
        if (plan_.modules[module].id == id)
            return process.pid;
    return 0;
}

const std::string* Processes::id_of(std::uint32_t module) const
{
    return module < plan_.modules.size() ? &plan_.modules[module].id : nullptr;
}

void Processes::on_started(const launcher::Started& started, FileDescriptor process, FileDescriptor output)
{
    const auto* id = id_of(started.module);
    if (id == nullptr)
        return on_launcher_gone("it started a module that is not in the plan");
    running_[started.module] = {started.pid, std::move(process), started.executed_ns};
    timeline_.record("forked", *id, started.pid, started.forked_ns);
    timeline_.record("executed", *id, started.pid, started.executed_ns);
    if (output)
        output_.add(*id, started.module, std::move(output));
}

void Processes::on_start_failed(const launcher::StartFailed& failed)
{
    if (id_of(failed.module) == nullptr)
        return on_launcher_gone("it could not start a module that is not in the plan");
    running_.erase(failed.module);
    const auto why = launcher::explain({static_cast<launcher::StageId>(failed.stage), failed.error});
    End end;
    end.module = failed.module;
    end.how = why + " [" + plan_.modules[failed.module].program + "]";
    listener_.on_process_ended(end);
}

void Processes::on_exited(const launcher::Exited& exited)
{
    const auto* id = id_of(exited.module);
    if (id == nullptr)
        return on_launcher_gone("a module ended that is not in the plan");
    const auto now = monotonic_ns();
    timeline_.record("exited", *id, exited.pid, now);
    End end;
    end.module = exited.module;
    end.pid = exited.pid;
    end.status = exited.status;
    end.how = describe_exit(exited.status);
    end.ran = std::chrono::nanoseconds{now - running_[exited.module].executed_ns};
    running_.erase(exited.module);
    listener_.on_process_ended(end);
}

void Processes::on_launcher_gone(const std::string& why)
{
    // It was their parent; now only their process groups are left.
    for (const auto& [module, process] : running_)
        if (process.pid > 1)
            ::kill(-process.pid, SIGKILL);
    const auto killed = counted(std::exchange(running_, {}).size(), "module");
    listener_.on_launcher_gone(why + "; killed " + killed);
}

} // namespace belay::manager
