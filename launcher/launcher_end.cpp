// SPDX-License-Identifier: Apache-2.0
//
// How all comes to an end: a signal asks for it, for a reload or for good, or the manager leaves the launcher alone.
#include "launcher/clock.hpp"
#include "launcher/complaint.hpp"
#include "launcher/launcher.hpp"

#include <array>
#include <csignal>
#include <cstdio>

namespace belay::launcher {

/// Without a terminal a reload is wanted: daemon(7). The invocation is unknown to tests alone.
void Launcher::hang_up(const signalfd_siginfo& info)
{
    if (!terminal_.closed(info))
        return plan_.invocation.program.empty() ? forward(SIGHUP) : judge_reload();
    if (!terminal_.may_close())
        forward(SIGTERM);
}

/// systemd waits for READY=1 from here on. Somebody who reloads what is not ready yet waits for that anyway.
void Launcher::judge_reload()
{
    if (ready_)
        equipment_.service_manager.reloading();
    follow(reload_.judge());
}

void Launcher::follow(Reload::Verdict verdict)
{
    if (verdict == Reload::Verdict::good)
        return forward(SIGHUP);
    if (verdict == Reload::Verdict::pending || !ready_)
        return;
    equipment_.service_manager.ready();
    equipment_.service_manager.status("The reload was refused, see the log; the modules run on as they were");
}

/// The manager is to stop all modules, and has its time for that.
void Launcher::forward(int signal)
{
    (signal == SIGHUP ? told_to_reload_ : told_to_stop_) = true;
    if (signal == SIGHUP)
        ready_ = false;
    else
        equipment_.service_manager.stopping();
    expect_end();
    tell(SignalReceived{.signal = signal});
}

/// Nothing that is said meanwhile puts it off: systemd sends no signal to what says that it stops.
void Launcher::expect_end()
{
    if (state_ == State::running && deadline_ns_ == 0)
        set_deadline(orderly_stop_factor * plan_.stop_timeout_ms);
}

/// systemd is told that it takes as long as this, and what may follow it.
void Launcher::set_deadline(std::uint64_t ms)
{
    deadline_ns_ = monotonic_ns() + ms * ns_per_ms;
    equipment_.service_manager.extend(ms + time_to_end_ms());
}

/// After a deadline: modules that ignore SIGTERM, then the kernel, which takes its time for whoever was killed.
std::uint64_t Launcher::time_to_end_ms() const noexcept
{
    constexpr std::uint64_t margin_ms = 5000;
    return 2 * std::uint64_t{plan_.stop_timeout_ms} + margin_ms;
}

void Launcher::lose_manager(const char* why)
{
    equipment_.control.reset();
    if (state_ != State::running)
        return; // it said `finish` before it went
    complain("the manager %s; stopping all modules", why);
    note("stop-all the manager %s", why);
    equipment_.feeding.expect_no_more();
    if (equipment_.manager != 0)
        ::kill(equipment_.manager, SIGKILL);
    state_ = State::stopping;
    equipment_.service_manager.stopping();
    std::array<char, 128> text{};
    std::snprintf(text.data(), text.size(), "The manager %s; stopping all modules", why);
    equipment_.service_manager.status(text.data());
    set_deadline(plan_.stop_timeout_ms);
    signal_all(SIGTERM);
}

void Launcher::reach_deadline()
{
    deadline_ns_ = 0;
    if (state_ == State::running)
        return lose_manager("did not stop in time");
    if (killed_) {
        given_up_ = true;
        return;
    }
    killed_ = true;
    signal_all(SIGKILL);
    if (equipment_.manager != 0)
        ::kill(equipment_.manager, SIGKILL);
    set_deadline(plan_.stop_timeout_ms); // for what is stuck in the kernel
}

} // namespace belay::launcher
