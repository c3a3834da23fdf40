// SPDX-License-Identifier: Apache-2.0
//
// How the supervisor's work ends or begins anew: signals, failures, and the last steps.
#include "manager/exit_text.hpp"
#include "manager/supervisor.hpp"

#include <csignal>
#include <utility>

namespace belay::manager {

namespace {

constexpr auto longest_flush = std::chrono::milliseconds(1000);

} // namespace

bool Supervisor::asks_first() const
{
    return options_.graceful_shutdown && conversation_.can_ask_to_shut_down();
}

void Supervisor::recover()
{
    apply(asks_first() ? Event::recover_gracefully : Event::recover);
}

void Supervisor::fail()
{
    if (lifecycle_.state() == State::initializing)
        return apply(Event::give_up);
    if (!lifecycle_.stopping())
        apply(asks_first() ? Event::fail_gracefully : Event::fail);
}

void Supervisor::on_signal(int signal)
{
    judge_ended(); // what came first counts first
    if (repeats_.is_repeat(signal, std::chrono::nanoseconds{monotonic_ns()}))
        return log_->info("{} received again at once: it counts as one", signal_name(signal));
    log_->info("{} received", signal_name(signal));
    told_to_stop_ = told_to_stop_ || signal != SIGHUP;
    signal == SIGHUP ? reload() : stop();
}

void Supervisor::stop()
{
    const bool reloads = std::exchange(reloads_, false);
    if (reloads && lifecycle_.ending()) { // what is under way becomes the end
        say(status_line(Step::sigint_received));
        return update_status();
    }
    if (lifecycle_.stopping())
        return apply(Event::stop);
    if (processes_.count() == 0)
        return apply(Event::stop_idle);
    apply(asks_first() ? Event::stop_gracefully : Event::stop);
}

/// The launcher has made sure that what would be loaded is good.
void Supervisor::reload()
{
    if (lifecycle_.ending())
        return;
    reloads_ = true;
    if (lifecycle_.stopping())
        return log_->info("all modules are being stopped already; then the manager begins anew");
    if (processes_.count() == 0)
        return apply(Event::reload_idle);
    apply(asks_first() ? Event::reload_gracefully : Event::reload);
}

void Supervisor::on_launcher_gone(const std::string& why)
{
    if (finished_)
        return;
    log_entry(*log_, spdlog::level::critical, about(JournalMessage::launcher_ended), "the launcher is gone: " + why);
    begin_finish(1);
}

void Supervisor::begin_finish(int code)
{
    exit_code_ = code;
    update_status();
    deadline_.disarm();
    if (!conversation_.connected())
        return finish();
    finish_deadline_.arm(longest_flush);
    conversation_.flush();
}

void Supervisor::finish()
{
    if (std::exchange(finished_, true))
        return;
    conversation_.disconnect();
    processes_.drain_output();
    const bool reloads = reloads_ && exit_code_ == 0;
    if (!reloads)
        say(status_line(Step::manager_exiting));
    status_fifo_.close();
    processes_.launcher().finish(exit_code_, reloads ? launcher::After::reload : launcher::After::exit);
    loop_.exit(exit_code_);
}

} // namespace belay::manager
