// SPDX-License-Identifier: Apache-2.0
#include "manager/restarter.hpp"

#include <utility>

namespace belay::manager {

Restarter::Restarter(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                     spdlog::logger& log, const std::function<void(std::uint32_t module, unsigned attempt)>& start)
    : plan_(plan), log_(log)
{
    const auto random = [this] { return std::uniform_real_distribution<double>{}(random_); };
    std::shared_ptr<Backoff> together;
    for (std::uint32_t module = 0; module < plan.modules.size(); ++module) {
        const auto& policy = configuration.modules.at(plan.modules[module].id).policy.restart;
        auto backoff = policy.together && together ? together : std::make_shared<Backoff>(policy, random);
        if (policy.together)
            together = backoff;
        runs_.emplace(module, std::make_unique<Run>(loop, policy, std::move(backoff), [this, module, start] {
                          runs_.at(module)->pending = false;
                          start(module, runs_.at(module)->backoff->attempts());
                      }));
    }
}

Restarter::Decision Restarter::ended(const End& end)
{
    auto& run = *runs_.at(end.module);
    const auto& id = plan_.modules[end.module].id;
    const auto what = end.status ? id + " (pid " + std::to_string(end.pid) + "): ended: " + end.how
                                 : id + ": not started: " + end.how;
    const auto verdict = judge(run.policy, end.late || end.hung ? std::nullopt : end.status);
    if (verdict == Verdict::stay_ended)
        log_entry(log_, spdlog::level::info, about_end(JournalMessage::module_ended, id, end),
                  what + ", which counts as success; it is not started again");
    if (verdict != Verdict::restart && verdict != Verdict::restart_all)
        return {verdict};
    const auto delay = run.backoff->next(end.ran);
    if (!delay) {
        log_entry(log_, spdlog::level::err, about_module(id),
                  fmt::format("{}: {}{} {} enough", id, counted(run.policy.burst, "restart"),
                              run.policy.together ? "" : " without a stable run",
                              run.policy.burst == 1 ? "is" : "are"));
        return {verdict == Verdict::restart ? Verdict::stop_all : Verdict::exhausted};
    }
    const auto attempt = run.backoff->attempts();
    const auto seconds = std::chrono::duration<double>{*delay}.count();
    if (verdict == Verdict::restart) {
        log_entry(log_, spdlog::level::warn, about_crash(id, end),
                  fmt::format("{}; restart {} of {} in {:.1f} s, the others run on", what, attempt, run.policy.burst,
                              seconds));
        run.timer.arm(*delay);
        run.pending = true;
    } else {
        log_entry(log_, spdlog::level::err, about_crash(id, end),
                  fmt::format("{}; restart {} of {}: all modules are stopped, and started again {:.1f} s later", what,
                              attempt, run.policy.burst, seconds));
    }
    return {verdict, *delay, attempt, run.policy.burst};
}

void Restarter::stopped(const End& end)
{
    runs_.at(end.module)->backoff->stopped(end.ran);
}

void Restarter::cancel()
{
    for (auto& [module, run] : runs_) {
        run->timer.disarm();
        run->pending = false;
    }
}

} // namespace belay::manager
