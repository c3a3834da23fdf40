// SPDX-License-Identifier: Apache-2.0
#include "manager/supervisor.hpp"

#include "manager/endpoint.hpp"

#include <csignal>
#include <cstring>
#include <utility>

#include <sys/wait.h>

namespace belay::manager {

namespace {

constexpr double ns_per_ms = 1e6;
constexpr auto longest_kill = std::chrono::milliseconds(5000);
constexpr auto longest_abort = std::chrono::milliseconds(2000);
constexpr auto longest_answer = std::chrono::milliseconds(1000);

/// What a parameter that is set can reach.
Phase phase_of(State state)
{
    if (state == State::running)
        return Phase::running;
    return state == State::idle ? Phase::down : Phase::changing;
}

std::string why_nothing_to_start(const config::Configuration& configuration, const Options& options)
{
    const auto& file = configuration.settings.config_file;
    if (configuration.from_database)
        return "the database " + options.database + " has none, or all of them are ignored";
    if (file.empty())
        return "the database " + options.database + " is empty; give --config, too, to fill it";
    return "`active_modules` of " + file.string() + " is empty, or all of it is ignored";
}

} // namespace

Supervisor::Supervisor(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                       const Options& options, Inheritance inheritance, ParameterStore& store,
                       std::shared_ptr<spdlog::logger> log, LogStyle style)
    : loop_(loop),
      configuration_(configuration),
      plan_(plan),
      options_(options),
      store_(store),
      log_(std::move(log)),
      begin_ns_(monotonic_ns()),
      status_fifo_(std::move(inheritance.status_fifo)),
      timeline_(std::move(inheritance.timeline), begin_ns_),
      processes_(loop, configuration, plan, std::move(inheritance.control), timeline_, *log_, style, *this),
      conversation_(loop, configuration, awaited(configuration), store_, *log_, *this),
      roll_call_(loop, configuration, *log_, *this),
      restarter_(loop, configuration, plan, *log_, [this](auto module, auto attempt) { restart(module, attempt); }),
      broker_recovery_(configuration, plan, options.recover_module_crashes),
      heartbeat_(loop, configuration, plan, processes_, *log_, *this),
      module_watchdogs_(
          loop, configuration, plan, std::move(inheritance.notify_sockets), *log_,
          [this](auto module) { return processes_.pid_of(plan_.modules[module].id); },
          [this](auto module, const auto& why) { on_module_hangs(module, why); }),
      last_reset_(std::move(inheritance.last_reset)),
      service_status_(loop, processes_.launcher(), options.load.environment.contains("NOTIFY_SOCKET"),
                      [this] { return describe_charger(); }),
      deadline_(loop, [this] { apply(Event::deadline); }),
      finish_deadline_(loop, [this] { finish(); }),
      answer_deadline_(loop, [this] { judge_silence(); })
{}

void Supervisor::start()
{
    if (awaited(configuration_).empty() && !options_.into_idle) {
        failure_ = "There is no module to start: " + why_nothing_to_start(configuration_, options_);
        log_->error("there is no module to start: {}", why_nothing_to_start(configuration_, options_));
        if (!options_.idle_on_failure)
            return apply(Event::give_up);
    }
    if (const auto prepared = store_.prepare(*log_); !prepared) {
        failure_ = "Nothing is started: " + prepared.error();
        log_->error("nothing is started: {}", prepared.error());
        return apply(Event::give_up);
    }
    update_status();
    conversation_.connect(!nothing_to_start());
}

bool Supervisor::nothing_to_start() const
{
    return options_.into_idle || awaited(configuration_).empty();
}

void Supervisor::apply(Event event)
{
    const auto before = lifecycle_;
    const auto* transition = lifecycle_.apply(event);
    if (transition == nullptr)
        return;
    if (lifecycle_.ending() && !before.ending() && !reloads_ && !becomes_idle())
        service_status_.stopping();
    if (lifecycle_.stopping()) {
        restarter_.cancel();
        roll_call_.end();
        processes_.cancel_startup_deadlines();
    }
    if (lifecycle_.state() != before.state()) {
        conversation_.set_phase(phase_of(lifecycle_.state()));
        deadline_.disarm();
        if (const auto longest = limit())
            deadline_.arm(*longest);
    }
    for (const auto step : transition->steps)
        perform(step);
    note_stopped();
    const auto state = lifecycle_.state();
    if (reloads_ && (state == State::resting || state == State::waiting_for_broker))
        apply(Event::reload_idle); // they would be started again, but not as they were
    update_status();
}

/// Modules that were asked to shut down get SIGTERM together; then each has its own time until SIGKILL.
std::optional<std::chrono::milliseconds> Supervisor::limit() const
{
    switch (limit_of(lifecycle_.state())) {
    case Limit::none:
        return std::nullopt;
    case Limit::request:
        return processes_.longest_request();
    case Limit::stop:
        return processes_.longest_stop();
    case Limit::kill:
        return longest_kill;
    case Limit::abort:
        return longest_abort;
    case Limit::rest:
        return recovery_.delay;
    }
    return std::nullopt;
}

/// What is under way ends without that the manager does.
bool Supervisor::becomes_idle() const
{
    return exhausted_ && options_.idle_on_failure && !told_to_stop_ && conversation_.connected();
}

/// Not every state that knows the end of all modules asks whether it was a clean one, or the last one of too many.
void Supervisor::note_stopped()
{
    const auto note = [this](Event event) {
        if (lifecycle_.stopping() && processes_.count() == 0)
            apply(event);
    };
    if (!conversation_.connected())
        note(Event::stopped_offline);
    if (all_clean_)
        note(Event::stopped_clean);
    if (exhausted_)
        note(becomes_idle() ? Event::stopped_to_idle : Event::stopped_exhausted);
    note(Event::stopped);
}

void Supervisor::perform(Step step)
{
    switch (step) {
    case Step::none:
        break;
    case Step::start_modules:
        return start_modules();
    case Step::wait_for_broker:
        return conversation_.connect_again(lifecycle_.state() != State::idle);
    case Step::manager_idle:
        return become_idle();
    case Step::clear_metadata:
        if (!options_.retain_topics)
            conversation_.clear_metadata();
        break;
    case Step::announce:
        return announce();
    case Step::ask_to_shut_down:
        others_must_come_again_ = true;
        log_->info("asking {} to shut down", counted(processes_.count(), "module"));
        return conversation_.ask_to_shut_down();
    case Step::terminate:
        return processes_.terminate_all();
    case Step::kill:
        return processes_.kill_all();
    case Step::finish_succeeded:
        return begin_finish(0);
    case Step::finish_failed:
        return begin_finish(1);
    case Step::crash_recovery_attempt:
        begin_ns_ = monotonic_ns();
        announced_ = false;
        return say(std::string{status_line(step)} + ':' + std::to_string(recovery_.attempt) + '/' +
                   std::to_string(recovery_.burst));
    default:
        return say(status_line(step));
    }
}

void Supervisor::say(std::string_view line)
{
    const auto written = status_fifo_.write(line);
    if (!written)
        log_->warn("the status FIFO is not written any more: {}", std::strerror(written.error()));
}

/// Whoever is started again reads what its predecessor read.
void Supervisor::start_modules()
{
    if (const auto& socket = configuration_.settings.broker.socket_path; !socket.empty())
        for (const auto& sentence : denied_modules(socket, plan_))
            log_->warn("{}", sentence);
    for (const auto& [id, module] : configuration_.modules)
        conversation_.renew(id);
    all_clean_ = true;
    done_.clear();
    log_->info("starting {}", counted(plan_.modules.size(), "module"));
    for (std::uint32_t module = 0; module < plan_.modules.size(); ++module)
        processes_.start(module, recovery_.attempt);
    for (const auto& [id, module] : configuration_.modules)
        if (module.standalone && !module.ignored)
            log_entry(*log_, spdlog::level::info, about_module(id),
                      id + ": standalone, to be started by somebody else");
    roll_call_.begin(std::exchange(others_must_come_again_, false));
    conversation_.publish_metadata(); // while the launcher starts those who will read it
}

void Supervisor::restart(std::uint32_t module, unsigned attempt)
{
    conversation_.publish_metadata();
    conversation_.renew(plan_.modules[module].id);
    const auto& id = plan_.modules[module].id;
    record("restarted", id);
    log_entry(*log_, spdlog::level::trace, about(JournalMessage::module_restarted, id),
              fmt::format("{}: starting it again, restart {}", id, attempt));
    processes_.start(module, attempt);
}

/// A unit is up then: nothing else will come.
void Supervisor::become_idle()
{
    log_->info("idle: no module is started, configuration requests are answered; SIGINT or SIGTERM ends it");
    service_status_.ready();
    say(status_line(Step::manager_idle));
}

void Supervisor::announce()
{
    const auto now = monotonic_ns();
    broker_recovery_.forget();
    conversation_.announce();
    service_status_.ready();
    timeline_.record("all_ready", {}, 0, now);
    if (!std::exchange(announced_, true))
        log_entry(*log_, spdlog::level::info, about(JournalMessage::all_ready),
                  fmt::format("all modules ready in {:.0f} ms", static_cast<double>(now - begin_ns_) / ns_per_ms));
    else if (rate_limit_.admit("announcement"))
        log_->info("a module is ready again; the announcement is repeated");
}

/// When the broker dies the modules follow, and the kernel may show us their ends first. So nobody is blamed before the
/// broker has answered, which takes less than a millisecond.
void Supervisor::on_process_ended(const End& end)
{
    module_watchdogs_.end(end.module);
    const bool by_itself = end.status && !end.late && !end.hung && !lifecycle_.stopping();
    ended_.push_back(end);
    if (!by_itself || !conversation_.connected())
        return judge_ended();
    if (ended_.size() > 1)
        return;
    answer_deadline_.arm(longest_answer);
    conversation_.ask_whether_alive();
}

void Supervisor::judge_ended()
{
    answer_deadline_.disarm();
    for (const auto& end : std::exchange(ended_, {}))
        judge(end);
    note_stopped();
}

void Supervisor::judge(const End& end)
{
    const auto& id = plan_.modules[end.module].id;
    if (lifecycle_.stopping() || lifecycle_.state() == State::exiting) {
        all_clean_ = all_clean_ && end.status == 0;
        restarter_.stopped(end);
        const int status = end.status.value_or(-1);
        const bool by_sigterm = WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
        return log_entry(*log_, status == 0 || by_sigterm ? spdlog::level::debug : spdlog::level::warn,
                         about_end(JournalMessage::module_ended, id, end),
                         fmt::format("{} (pid {}): ended while it was stopped: {}", id, end.pid, end.how));
    }
    follow(restarter_.ended(end), end);
}

void Supervisor::follow(const Restarter::Decision& decision, const End& end)
{
    const auto& id = plan_.modules[end.module].id;
    const bool was_ready = roll_call_.is_ready(id);
    const auto what = id + (end.pid > 0 ? " (pid " + std::to_string(end.pid) + ")" : "") + ": " + end.how;
    switch (decision.verdict) {
    case Verdict::exhausted:
        exhausted_ = true;
        [[fallthrough]];
    case Verdict::stop_all:
        record_step("exit", what);
        failure_ = id + (end.status ? " ended: " : " could not be started: ") + end.how;
        log_entry(*log_, spdlog::level::err, about_crash(id, end),
                  !end.status
                      ? fmt::format("{}: not started: {}; stopping all modules", id, end.how)
                      : fmt::format("{} (pid {}): ended unexpectedly: {}, {:.1f} s after its start{}; stopping all "
                                    "modules",
                                    id, end.pid, end.how, std::chrono::duration<double>{end.ran}.count(),
                                    was_ready ? "" : ", before it was ready"));
        return fail();
    case Verdict::stay_ended:
        done_.insert(end.module);
        return was_ready ? void() : roll_call_.mark(id); // it is not waited for any more
    case Verdict::restart:
        record_step("restart-module", what);
        roll_call_.forget(id);
        return update_status();
    case Verdict::restart_all:
        record_step("restart-all", what);
        recovery_ = decision;
        return recover();
    }
}

pid_t Supervisor::pid_of(const std::string& id)
{
    return processes_.pid_of(id);
}

void Supervisor::on_spawned_ready()
{
    apply(Event::spawned_ready);
}

void Supervisor::on_all_ready()
{
    apply(Event::all_ready);
}

} // namespace belay::manager
