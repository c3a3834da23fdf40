// SPDX-License-Identifier: Apache-2.0
#include "manager/broker_recovery.hpp"

#include <algorithm>

namespace belay::manager {

namespace {

constexpr unsigned most_attempts = 3; // EVerest's figure

bool all_come_back(const config::Configuration& configuration, const launcher::LaunchPlan& plan)
{
    return !plan.modules.empty() && std::ranges::all_of(plan.modules, [&](const launcher::ProcessPlan& process) {
        const auto& policy = configuration.modules.at(process.id).policy.restart;
        return policy.policy != config::RestartPolicy::When::never && policy.scope == config::RestartPolicy::Scope::all;
    });
}

} // namespace

BrokerRecovery::BrokerRecovery(const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                               bool wanted)
    : enabled_(configuration.settings.broker.recover.value_or(wanted || all_come_back(configuration, plan)))
{}

std::optional<Restarter::Decision> BrokerRecovery::next()
{
    if (attempts_ == most_attempts)
        return std::nullopt;
    ++attempts_;
    return Restarter::Decision{Verdict::restart_all, std::chrono::milliseconds{0}, attempts_, most_attempts};
}

} // namespace belay::manager
