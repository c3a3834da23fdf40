// SPDX-License-Identifier: Apache-2.0
#include "manager/own_domain.hpp"

#include "launcher/signal_domain.hpp"

#include <unistd.h>

namespace belay::manager {

namespace {

/// In the environment of who is executed again: the pid of the process that entered a signal domain of its own. A
/// caller may be in one, too, which looks the same from inside; there, kill(2) of -1 would reach others than Belay's.
constexpr const char* domain_variable = "BELAY_SIGNAL_DOMAIN_PID";

/// By a predecessor, with the pid of this process, or of the one that has it judge.
bool is_in_own_domain(const Options& options)
{
    const auto found = options.load.environment.find(domain_variable);
    return options.reloaded && found != options.load.environment.end() &&
           found->second == std::to_string(options.judge ? ::getppid() : ::getpid());
}

} // namespace

void confine_signals(launcher::LaunchPlan& plan, const Options& options)
{
    const bool wanted = launcher::wants_signal_domain(plan);
    const bool inside = is_in_own_domain(options) || (wanted && launcher::enter_signal_domain());
    plan.signal_domain = wanted && inside && launcher::reaches_nobody_else();
    if (inside)
        plan.invocation.environment.push_back(domain_variable + ('=' + std::to_string(::getpid())));
}

std::optional<std::string> demand_on_domain(const launcher::LaunchPlan& plan, const Options& options)
{
    const auto* module = is_in_own_domain(options) ? launcher::signals_others(plan) : nullptr;
    if (module == nullptr)
        return std::nullopt;
    return "module `" + module->id +
           "` may signal other processes now, and the launcher has given that up for all that it starts; restart "
           "instead of reloading";
}

bool is_domain_variable(std::string_view name)
{
    return name == domain_variable;
}

} // namespace belay::manager
