// SPDX-License-Identifier: Apache-2.0
#include "manager/restarter.hpp"

#include <utility>

namespace belay::manager {

namespace {

Backoff::Time now()
{
    return Backoff::Time{monotonic_ns()};
}

} // namespace

Restarter::Run::Run(EventLoop& loop, const config::RestartPolicy& the_policy, std::function<double()> random,
                    std::function<void()> start)
    : policy(the_policy), backoff(the_policy, std::move(random)), timer(loop, std::move(start))
{}

Restarter::Restarter(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                     spdlog::logger& log, const std::function<void(std::uint32_t module, unsigned attempt)>& start)
    : plan_(plan), log_(log)
{
    const auto random = [this] { return std::uniform_real_distribution<double>{}(random_); };
    for (std::uint32_t module = 0; module < plan.modules.size(); ++module) {
        const auto& policy = configuration.modules.at(plan.modules[module].id).policy.restart;
        runs_.emplace(module, std::make_unique<Run>(loop, policy, random, [this, module, start] {
                          start(module, runs_.at(module)->backoff.attempts());
                      }));
    }
}

void Restarter::started(std::uint32_t module)
{
    runs_.at(module)->started = now();
}

double Restarter::age_s(std::uint32_t module) const
{
    return std::chrono::duration<double>{now() - runs_.at(module)->started}.count();
}

Verdict Restarter::ended(std::uint32_t module, int status, const std::string& how)
{
    auto& run = *runs_.at(module);
    const auto& id = plan_.modules[module].id;
    const auto verdict = judge(run.policy, status);
    if (verdict == Verdict::stay_ended)
        log_.info("{}: ended: {}, which counts as success; it is not started again", id, how);
    if (verdict != Verdict::restart)
        return verdict;
    const auto delay = run.backoff.next(run.started, now());
    if (!delay) {
        log_.error("{}: {} restarts without a stable run are enough", id, run.policy.burst);
        return Verdict::stop_all;
    }
    constexpr double ms_per_s = 1000;
    log_.warn("{}: ended: {}; restart {} of {} in {:.1f} s, the others run on", id, how, run.backoff.attempts(),
              run.policy.burst, static_cast<double>(delay->count()) / ms_per_s);
    run.timer.arm(*delay);
    return Verdict::restart;
}

void Restarter::cancel()
{
    for (auto& [module, run] : runs_)
        run->timer.disarm();
}

} // namespace belay::manager
