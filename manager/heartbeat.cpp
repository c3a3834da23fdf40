// SPDX-License-Identifier: Apache-2.0
#include "manager/heartbeat.hpp"

#include "manager/log.hpp"

#include <utility>

namespace belay::manager {

namespace {

std::chrono::nanoseconds now()
{
    return std::chrono::nanoseconds{monotonic_ns()};
}

} // namespace

Heartbeat::Heartbeat(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                     Processes& processes, spdlog::logger& log, HeartbeatListener& listener)
    : configuration_(configuration),
      plan_(plan),
      processes_(processes),
      log_(log),
      listener_(listener),
      timer_(loop, [this] { beat(); })
{}

void Heartbeat::begin(const launcher::WatchdogState& state)
{
    interval_ = std::chrono::milliseconds{state.interval_ms};
    patience_ = std::chrono::milliseconds{state.deadline_ms};
    beat();
}

void Heartbeat::beat()
{
    timer_.arm(interval_);
    look_after_modules();
    look_after_broker();
    auto objection = listener_.objection();
    if (!objection.empty() && objection != objection_)
        log_entry(log_, spdlog::level::critical, about(JournalMessage::watchdog_trouble), "no heartbeat: " + objection);
    objection_ = std::move(objection);
    processes_.launcher().heartbeat(++sequence_, objection_.empty());
}

void Heartbeat::look_after_modules()
{
    auto before = std::exchange(pulses_, {});
    for (const auto& [module, pid] : processes_.executing()) {
        const auto held = held_threads(pid);
        if (!held && !std::exchange(blind_, true))
            log_.warn("/proc does not show the state of other users' processes (hidepid=): a module that is stopped or "
                      "stuck is not noticed");
        auto& pulse = pulses_[pid] = std::move(before[pid]);
        const auto longest = configuration_.modules.at(plan_.modules[module].id).policy.liveness.stuck_after;
        if (const auto why = held ? pulse.look(*held, pid, now(), longest) : std::nullopt)
            listener_.on_module_hangs(module, *why);
    }
}

void Heartbeat::look_after_broker()
{
    if (asked_.count() == 0) {
        asked_ = listener_.ask_broker() ? now() : std::chrono::nanoseconds{};
        return;
    }
    const auto silence = now() - asked_;
    if (silence < patience_)
        return;
    asked_ = {};
    listener_.on_broker_hangs(silence);
}

} // namespace belay::manager
