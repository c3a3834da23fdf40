// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"
#include "manager/event_loop.hpp"
#include "manager/processes.hpp"
#include "manager/restart.hpp"

#include <spdlog/logger.h>

#include <map>
#include <memory>
#include <random>

namespace belay::manager {

/// Decides what happens when a module ends by itself, as belay.yaml says of each, and starts those again that are
/// started alone, while the others run on. A restart of all is the caller's.
class Restarter
{
public:
    /// `start` is called when a module's time has come.
    Restarter(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
              spdlog::logger& log, const std::function<void(std::uint32_t module, unsigned attempt)>& start);

    struct Decision
    {
        Verdict verdict = Verdict::stop_all;
        std::chrono::milliseconds delay{0}; ///< before the restart
        unsigned attempt = 0;
        unsigned burst = 0;
    };

    /// It ended by itself. Logs what happens now, and why, unless it is EVerest's rule.
    [[nodiscard]] Decision ended(const End& end);

    /// It ended because all are stopped.
    void stopped(const End& end);

    /// It ended, and will be started again.
    [[nodiscard]] bool is_pending(std::uint32_t module) const { return runs_.at(module)->pending; }

    /// The charger stops: nobody is started any more.
    void cancel();

private:
    struct Run
    {
        Run(EventLoop& loop, const config::RestartPolicy& the_policy, std::shared_ptr<Backoff> the_backoff,
            std::function<void()> start)
            : policy(the_policy), backoff(std::move(the_backoff)), timer(loop, std::move(start))
        {}
        const config::RestartPolicy& policy;
        std::shared_ptr<Backoff> backoff; ///< of this module, or of all that are counted together
        Timer timer;
        bool pending = false;
    };

    const launcher::LaunchPlan& plan_;
    spdlog::logger& log_;
    std::minstd_rand random_{std::random_device{}()};
    std::map<std::uint32_t, std::unique_ptr<Run>> runs_;
};

} // namespace belay::manager
