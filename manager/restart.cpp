// SPDX-License-Identifier: Apache-2.0
#include "manager/restart.hpp"

#include <algorithm>

#include <sys/wait.h>

namespace belay::manager {

std::optional<std::chrono::milliseconds> Backoff::next(Duration ran)
{
    stopped(ran);
    if (attempts_ == policy_.burst)
        return std::nullopt;
    // Twice as long each time, and up to a tenth more or less: modules that fell together do not rise together.
    constexpr double spread = 0.1;
    constexpr unsigned most_doublings = 30;
    const double doubled =
        static_cast<double>(policy_.delay.count()) * static_cast<double>(1U << std::min(attempts_, most_doublings));
    const double jitter = 1 + spread * (2 * random_() - 1);
    ++attempts_;
    const double delay = std::min(doubled, static_cast<double>(policy_.max_delay.count())) * jitter;
    return std::chrono::milliseconds{static_cast<std::chrono::milliseconds::rep>(delay)};
}

void Backoff::stopped(Duration ran)
{
    if (ran >= policy_.stable_after)
        attempts_ = 0;
}

Verdict judge(const config::RestartPolicy& policy, std::optional<int> status)
{
    using When = config::RestartPolicy::When;
    using Scope = config::RestartPolicy::Scope;
    if (policy.policy == When::never)
        return Verdict::stop_all;
    const bool success = status && WIFEXITED(*status) && policy.success_exit_status.contains(WEXITSTATUS(*status));
    if (success && policy.policy == When::on_failure)
        return Verdict::stay_ended;
    return policy.scope == Scope::all ? Verdict::restart_all : Verdict::restart;
}

} // namespace belay::manager
