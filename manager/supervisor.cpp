// SPDX-License-Identifier: Apache-2.0
#include "manager/supervisor.hpp"

#include "launcher/stages.hpp"
#include "manager/exit_text.hpp"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <utility>

namespace belay::manager {

namespace {

constexpr double ns_per_ms = 1e6;
constexpr auto longest_flush = std::chrono::milliseconds(1000);
constexpr auto reminder_interval = std::chrono::seconds(10); // EVerest's modules are ready within a second

std::size_t longest_id(const launcher::LaunchPlan& plan)
{
    std::size_t result = 0;
    for (const auto& module : plan.modules)
        result = std::max(result, module.id.size());
    return result;
}

} // namespace

std::set<std::string> Supervisor::awaited(const config::Configuration& configuration)
{
    std::set<std::string> ids;
    for (const auto& [id, module] : configuration.modules)
        if (!module.ignored)
            ids.insert(id);
    return ids;
}

Readiness Supervisor::make_readiness(const config::Configuration& configuration, const launcher::LaunchPlan& plan)
{
    std::set<std::string, std::less<>> spawned;
    std::set<std::string, std::less<>> standalone;
    for (const auto& process : plan.modules)
        spawned.insert(process.id);
    for (const auto& id : awaited(configuration))
        if (!spawned.contains(id))
            standalone.insert(id);
    return {std::move(spawned), std::move(standalone)};
}

Supervisor::Supervisor(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                       const Options& options, Inheritance inheritance, std::shared_ptr<spdlog::logger> log,
                       LogStyle style)
    : loop_(loop),
      configuration_(configuration),
      plan_(plan),
      options_(options),
      log_(std::move(log)),
      begin_ns_(monotonic_ns()),
      status_fifo_(std::move(inheritance.status_fifo)),
      timeline_(std::move(inheritance.timeline), begin_ns_),
      readiness_(make_readiness(configuration, plan)),
      launcher_(loop, std::move(inheritance.control), *this),
      conversation_(loop, configuration, awaited(configuration), *log_, *this),
      output_(loop, style == LogStyle::coloured, longest_id(plan)),
      deadline_(loop, [this] { apply(Event::deadline); }),
      finish_deadline_(loop, [this] { finish(); }),
      next_announcement_(loop, [this] { apply(Event::all_ready); }),
      next_reminder_(loop, [this] { remind(); }),
      restarter_(loop, configuration, plan, *log_, [this](auto module, auto attempt) { restart(module, attempt); })
{}

void Supervisor::start()
{
    say(Step::manager_initializing);
    if (awaited(configuration_).empty()) {
        log_->error("there is no module to start: `active_modules` of {} is empty, or all of it is ignored",
                    configuration_.settings.config_file.string());
        return apply(Event::give_up);
    }
    launcher_.notify(launcher::Notification::status, "Waiting for the MQTT broker");
    conversation_.connect();
}

void Supervisor::apply(Event event)
{
    const auto before = lifecycle_.state();
    const auto* transition = lifecycle_.apply(event);
    if (transition == nullptr)
        return;
    if (lifecycle_.state() != before) {
        deadline_.disarm();
        if (const auto limit = deadline_ms(lifecycle_.state()); limit > 0)
            deadline_.arm(std::chrono::milliseconds(limit));
    }
    if (lifecycle_.ending())
        restarter_.cancel();
    for (const auto step : transition->steps)
        perform(step);
    if (lifecycle_.stopping() && running_.empty()) {
        if (all_clean_)
            apply(Event::stopped_clean);
        if (lifecycle_.stopping())
            apply(Event::stopped);
    }
}

void Supervisor::perform(Step step)
{
    switch (step) {
    case Step::none:
        break;
    case Step::start_modules:
        return start_modules();
    case Step::clear_metadata:
        if (!options_.retain_topics)
            conversation_.clear_metadata();
        break;
    case Step::announce:
        return announce();
    case Step::ask_to_shut_down:
        log_->info("asking {} modules to shut down", running_.size());
        return conversation_.ask_to_shut_down();
    case Step::terminate:
        if (!running_.empty())
            log_->info("terminating {} of {} modules", running_.size(), plan_.modules.size());
        return signal_modules(SIGTERM, launcher::Scope::process);
    case Step::kill:
        log_->warn("killing what has not ended yet: {} of {} modules", running_.size(), plan_.modules.size());
        return signal_modules(SIGKILL, launcher::Scope::tree);
    case Step::finish_succeeded:
        return begin_finish(0);
    case Step::finish_failed:
        return begin_finish(1);
    case Step::manager_shutdown_requested:
        launcher_.notify(launcher::Notification::stopping);
        return say(step);
    default:
        return say(step);
    }
}

void Supervisor::say(Step line)
{
    const auto written = status_fifo_.write(status_line(line));
    if (!written)
        log_->warn("the status FIFO is not written any more: {}", std::strerror(written.error()));
}

void Supervisor::start_modules()
{
    log_->info("starting {} modules", plan_.modules.size());
    launcher_.notify(launcher::Notification::status, "Starting " + std::to_string(plan_.modules.size()) + " modules");
    for (std::uint32_t index = 0; index < plan_.modules.size(); ++index) {
        running_[index] = {};
        launcher_.start(index, 0);
    }
    for (const auto& [id, module] : configuration_.modules)
        if (module.standalone && !module.ignored)
            log_->info("{}: standalone, to be started by somebody else", id);
    next_reminder_.arm(reminder_interval);
}

/// Somebody who finds the charger dead must see which module it waits for.
void Supervisor::remind()
{
    if (lifecycle_.state() != State::starting)
        return;
    std::string names;
    for (const auto& id : readiness_.missing()) {
        const auto pid = pid_of(id);
        names += (names.empty() ? "" : ", ") + id + (pid > 0 ? " (pid " + std::to_string(pid) + ")" : "");
    }
    log_->warn("not ready yet: {}", names);
    next_reminder_.arm(reminder_interval);
}

/// A successor reads what the first one read.
void Supervisor::restart(std::uint32_t module, unsigned attempt)
{
    conversation_.publish_again();
    running_[module] = {};
    timeline_.record("restarted", plan_.modules[module].id, 0, monotonic_ns());
    launcher_.start(module, attempt);
}

void Supervisor::announce()
{
    const auto now = monotonic_ns();
    const bool again = std::exchange(announced_ns_, now) != 0;
    conversation_.announce();
    launcher_.notify(launcher::Notification::ready);
    launcher_.notify(launcher::Notification::status, "All modules are ready");
    timeline_.record("all_ready", {}, 0, now);
    if (!again)
        log_->info("all modules ready in {:.0f} ms", static_cast<double>(now - begin_ns_) / ns_per_ms);
    else if (rate_limit_.admit("announcement"))
        log_->info("a module is ready again; the announcement is repeated");
}

/// A module that is ready again gets the announcement again, but whoever floods the broker does not flood the modules.
void Supervisor::announce_in_time()
{
    constexpr std::chrono::milliseconds interval{100};
    const std::chrono::nanoseconds since{monotonic_ns() - announced_ns_};
    if (announced_ns_ == 0 || since >= interval)
        return apply(Event::all_ready);
    next_announcement_.arm(std::chrono::ceil<std::chrono::milliseconds>(interval - since));
}

void Supervisor::signal_modules(int signal, launcher::Scope scope)
{
    for (const auto& [index, process] : running_)
        launcher_.signal(index, signal, scope);
}

const std::string* Supervisor::module_id(std::uint32_t index) const
{
    return index < plan_.modules.size() ? &plan_.modules[index].id : nullptr;
}

void Supervisor::on_started(const launcher::Started& started, FileDescriptor process, FileDescriptor output)
{
    const auto* id = module_id(started.module);
    if (id == nullptr)
        return on_launcher_gone("it started a module that is not in the plan");
    running_[started.module] = {started.pid, std::move(process)};
    restarter_.started(started.module);
    timeline_.record("forked", *id, started.pid, started.forked_ns);
    timeline_.record("executed", *id, started.pid, started.executed_ns);
    if (output)
        output_.add(*id, started.module, std::move(output));
}

void Supervisor::on_start_failed(const launcher::StartFailed& failed)
{
    const auto* id = module_id(failed.module);
    if (id == nullptr)
        return on_launcher_gone("it could not start a module that is not in the plan");
    running_.erase(failed.module);
    all_clean_ = false;
    log_->error("{}: not started: {} [{}]", *id,
                launcher::explain({static_cast<launcher::StageId>(failed.stage), failed.error}),
                plan_.modules[failed.module].program);
    fail();
}

void Supervisor::on_exited(const launcher::Exited& exited)
{
    const auto* id = module_id(exited.module);
    if (id == nullptr)
        return on_launcher_gone("a module ended that is not in the plan");
    timeline_.record("exited", *id, exited.pid, monotonic_ns());
    running_.erase(exited.module);
    const auto how = describe_exit(exited, plan_.modules[exited.module]);
    if (lifecycle_.stopping()) {
        all_clean_ = all_clean_ && exited.status == 0;
        log_->debug("{} (pid {}): ended: {}", *id, exited.pid, how);
        if (running_.empty())
            apply(all_clean_ && lifecycle_.state() != State::aborting ? Event::stopped_clean : Event::stopped);
        if (running_.empty() && lifecycle_.stopping())
            apply(Event::stopped);
        return;
    }
    ended_by_itself(exited, *id, how);
}

void Supervisor::ended_by_itself(const launcher::Exited& exited, const std::string& id, const std::string& how)
{
    const bool was_ready = std::ranges::count(readiness_.missing(), id) == 0;
    const auto verdict = restarter_.ended(exited.module, exited.status, how);
    if (verdict == Verdict::stop_all) {
        log_->error("{} (pid {}): ended unexpectedly: {}, {:.1f} s after its start{}; stopping all modules", id,
                    exited.pid, how, restarter_.age_s(exited.module), was_ready ? "" : ", before it was ready");
        return fail();
    }
    if (verdict == Verdict::stay_ended && !was_ready) // it is not waited for any more
        return on_module_ready(id);
    if (verdict == Verdict::restart) {
        readiness_.forget(id);
        next_announcement_.disarm(); // its successor's readiness brings another
        launcher_.notify(launcher::Notification::status, id + " ended and will be started again");
    }
}

void Supervisor::fail()
{
    if (lifecycle_.state() == State::initializing)
        return apply(Event::give_up);
    const bool gracefully = options_.graceful_shutdown && conversation_.connected();
    if (lifecycle_.stopping())
        return;
    apply(gracefully ? Event::fail_gracefully : Event::fail);
}

void Supervisor::on_signal(int signal)
{
    log_->info("{} received", signal_name(signal));
    if (lifecycle_.stopping())
        return apply(Event::stop);
    if (running_.empty())
        return apply(Event::stop_idle);
    apply(options_.graceful_shutdown && conversation_.connected() ? Event::stop_gracefully : Event::stop);
}

void Supervisor::on_launcher_gone(const std::string& why)
{
    if (finished_)
        return;
    log_->critical("the launcher is gone: {}; killing {} modules", why, running_.size());
    // It was their parent; now only their process groups are left.
    for (const auto& [index, process] : running_)
        if (process.pid > 1)
            ::kill(-process.pid, SIGKILL);
    running_.clear();
    begin_finish(1);
}

void Supervisor::on_connected()
{
    apply(Event::connected);
}

void Supervisor::on_broker_failed(const std::string& why)
{
    log_->error("{}", why);
    if (lifecycle_.state() == State::exiting)
        return finish();
    if (lifecycle_.stopping())
        return apply(Event::fail);
    fail();
}

pid_t Supervisor::pid_of(const std::string& module) const
{
    for (const auto& [index, process] : running_)
        if (plan_.modules[index].id == module)
            return process.pid;
    return 0;
}

void Supervisor::record(std::string_view event, const std::string& module, std::uint64_t now_ns)
{
    timeline_.record(event, module, pid_of(module), now_ns);
}

void Supervisor::on_asked(const std::string& module)
{
    record("asked", module, monotonic_ns());
}

void Supervisor::on_answered(const std::string& module)
{
    record("answered", module, monotonic_ns());
}

void Supervisor::on_module_ready(const std::string& module)
{
    record("ready", module, monotonic_ns());
    log_->debug("{}: ready", module);
    switch (readiness_.mark(module)) {
    case Readiness::Outcome::spawned_ready:
        log_->info("all modules that are started here are ready; waiting for the standalone ones");
        return apply(Event::spawned_ready);
    case Readiness::Outcome::all_ready:
        return announce_in_time();
    case Readiness::Outcome::unknown_module:
    case Readiness::Outcome::progress:
        break;
    }
}

void Supervisor::begin_finish(int code)
{
    exit_code_ = code;
    deadline_.disarm();
    if (!conversation_.connected())
        return finish();
    finish_deadline_.arm(longest_flush);
    conversation_.flush();
}

void Supervisor::on_flushed()
{
    finish();
}

void Supervisor::finish()
{
    if (std::exchange(finished_, true))
        return;
    conversation_.disconnect();
    output_.drain();
    say(Step::manager_exiting);
    status_fifo_.close();
    launcher_.finish(exit_code_);
    loop_.exit(exit_code_);
}

} // namespace belay::manager
