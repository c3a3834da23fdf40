// SPDX-License-Identifier: Apache-2.0
#include "manager/judgement.hpp"

#include "config/capabilities.hpp"
#include "launcher/journal.hpp"
#include "launcher/landlock.hpp"
#include "launcher/own_privileges.hpp"
#include "launcher/watchdog.hpp"
#include "manager/check.hpp"
#include "manager/file_text.hpp"
#include "manager/handover.hpp"
#include "manager/own_domain.hpp"
#include "manager/own_unit.hpp"
#include "manager/trust_check.hpp"
#include "manager/visitor.hpp"

#include <charconv>
#include <map>
#include <utility>

#include <linux/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace belay::manager {

namespace {

template <typename Value>
using Result = tl::expected<Value, std::string>;

/// While a reload is judged, the modules run.
std::string nothing_done(const Starter& starter)
{
    return starter.launcher ? "nothing was changed: " : "nothing was started: ";
}

config::PlanOptions plan_options(const Options& options, const Starter& starter, uid_t trusted_owner)
{
    return {.root = starter.root,
            .held = starter.held,
            .landlock_abi = launcher::landlock_abi(),
            .delegation = launcher::find_delegation(),
            .prefix_output = ::isatty(STDERR_FILENO) == 1,
            .journal_output = launcher::is_journal(),
            .unit = own_unit(),
            .reloaded = starter.launcher || options.reloaded,
            .checking = false,
            .trusted_owner = trusted_owner,
            .environment = options.load.environment};
}

/// Where nothing is missing, and root starts.
config::PlanOptions plan_options_elsewhere(const Options& options, uid_t trusted_owner)
{
    const auto all = launcher::all_capabilities();
    auto result = plan_options(options, {.root = true, .held = all, .unit = all, .launcher = false}, trusted_owner);
    result.checking = true;
    return result;
}

/// What a reload executes again.
Result<launcher::Invocation> invocation_of(const Options& options)
{
    auto program = this_program();
    if (!program)
        return tl::unexpected(program.error());
    launcher::Invocation result{std::move(*program), options.arguments, {}};
    for (const auto& [name, value] : options.load.environment)
        if (!is_domain_variable(name))
            result.environment.push_back(name + '=' + value);
    return result;
}

void check_trust(const config::Configuration& configuration, const Starter& starter, Judgement& judgement)
{
    if (!judgement.plan->trust_rule)
        return;
    const auto untrusted = untrusted_files(configuration, *judgement.plan, judgement.launcher);
    for (const auto& sentence : untrusted)
        judgement.found.error({}, sentence);
    if (!untrusted.empty() && !judgement.refusal)
        judgement.refusal.emplace(nothing_done(starter) +
                                      "with run_as_user, only files that nobody but root can write decide who gets "
                                      "which privileges (a developer may give --trust-files-of USER)",
                                  true);
}

/// no_new_privs is never taken back: neither that of a service nor that of a launcher before this one.
void check_new_privileges(Judgement& judgement)
{
    for (const auto& module : judgement.plan->modules)
        if (!module.no_new_privileges && ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
            judgement.reasons.push_back(
                "module `" + module.id +
                "`: `no_new_privileges: false` is not possible in a process that has no_new_privs; "
                "remove NoNewPrivileges= from the unit, or restart instead of reloading");
}

std::string names_of(launcher::CapabilityMask capabilities)
{
    std::string names;
    for (int number = 0; capabilities >> static_cast<unsigned>(number) != 0; ++number)
        if ((capabilities & launcher::capability(number)) != 0)
            names += (names.empty() ? "" : ", ") + config::capability_name(number);
    return names;
}

/// The modules that take any of them.
std::string takers(const launcher::LaunchPlan& plan, launcher::CapabilityMask capabilities)
{
    std::string ids;
    for (const auto& module : plan.modules) {
        launcher::LaunchPlan one;
        one.modules = {module};
        if ((launcher::lacking_capabilities(one, ~capabilities) & capabilities) != 0)
            ids += (ids.empty() ? "`" : ", `") + module.id + '`';
    }
    return ids.empty() ? "" : " for " + ids;
}

/// A launcher has given up what the configuration before this one did not need; a unit may never have had it.
void check_capabilities(const Starter& starter, Judgement& judgement)
{
    const auto never = launcher::lacking_capabilities(*judgement.plan, starter.held | starter.unit);
    const auto given_up = launcher::lacking_capabilities(*judgement.plan, starter.held) & ~never;
    if (never != 0)
        judgement.reasons.push_back("this configuration takes " + names_of(never) + takers(*judgement.plan, never) +
                                    ", which this process does not hold; start as root, and where a unit does it, with "
                                    "this in its CapabilityBoundingSet=");
    if (given_up != 0)
        judgement.reasons.push_back(
            "the launcher has given up " + names_of(given_up) +
            ", which this configuration takes and the one before it did not; restart instead of reloading");
}

/// The program, and what an interpreter reads, where they are a module's own.
std::optional<Obstacle> in_the_way(const launcher::ProcessPlan& module, const std::string& directory)
{
    constexpr mode_t executable = 1;
    constexpr mode_t readable = 4;
    const auto visitor = visitor_of(module);
    auto found = obstacle(module.program, visitor, executable);
    for (const auto& argument : module.arguments)
        if (!found && argument.starts_with(directory + '/'))
            found = obstacle(argument, visitor, readable);
    return found;
}

void check_reach(const config::Configuration& configuration, Judgement& judgement)
{
    const auto past_permissions = launcher::capability(CAP_DAC_OVERRIDE) | launcher::capability(CAP_DAC_READ_SEARCH);
    std::map<std::string, std::string> modules_by_reason;
    for (const auto& module : judgement.plan->modules) {
        const auto found = module.change_identity && module.uid != 0 && (module.capabilities & past_permissions) == 0
                               ? in_the_way(module, configuration.settings.modules_dir / module.name)
                               : std::nullopt;
        if (!found)
            continue;
        auto& modules = modules_by_reason["the user " + user_name(module.uid) + " does not reach it: " + found->path +
                                          ' ' + describe(*found) + "; chmod o+rX " + found->path];
        modules += (modules.empty() ? "`" : ", `") + module.id + '`';
    }
    for (const auto& [reason, modules] : modules_by_reason)
        judgement.reasons.push_back("what is to be executed for " + modules + ": " + reason);
}

void check_watchdog(Judgement& judgement)
{
    const auto& watchdog = judgement.plan->watchdog;
    if (watchdog.device.empty() || !watchdog.require)
        return;
    if (const auto found = launcher::Watchdog::find(watchdog); !found)
        judgement.reasons.push_back(found.error().sentence);
}

void judge_plan(const config::Configuration& configuration, const Options& options, const Starter& starter,
                Judgement& judgement)
{
    if (options.into_idle)
        judgement.plan->modules.clear(); // what is never started takes no privileges
    judgement.plan->reloaded = options.reloaded;
    if (auto invocation = invocation_of(options))
        judgement.plan->invocation = std::move(*invocation);
    else
        judgement.reasons.push_back(invocation.error());
    if (auto launcher = find_launcher())
        judgement.launcher = std::move(*launcher);
    else
        judgement.reasons.push_back(launcher.error());
    check_trust(configuration, starter, judgement);
    check_new_privileges(judgement);
    if (auto demand = demand_on_domain(*judgement.plan, options))
        judgement.reasons.push_back(std::move(*demand));
    if (options.starts_nothing()) {
        check_capabilities(starter, judgement);
        check_reach(configuration, judgement);
        check_watchdog(judgement);
    }
    if (!judgement.refusal && !judgement.reasons.empty())
        judgement.refusal.emplace(judgement.reasons.front());
}

/// The permitted set of the launcher that systemd is about to have reload; nothing without one.
std::optional<launcher::CapabilityMask> held_by(pid_t launcher)
{
    const auto status = launcher == 0 ? "" : text_of("/proc/" + std::to_string(launcher) + "/status");
    constexpr std::string_view key = "\nCapPrm:\t";
    const auto at = status.find(key);
    launcher::CapabilityMask result = 0;
    constexpr int hexadecimal = 16;
    if (at == std::string::npos ||
        std::from_chars(status.data() + at + key.size(), status.data() + status.size(), result, hexadecimal).ec !=
            std::errc{})
        return std::nullopt;
    return result;
}

} // namespace

Result<Starter> this_starter(const Options& options)
{
    const auto held = held_capabilities();
    if (!held)
        return tl::unexpected(held.error());
    const bool root = ::geteuid() == 0;
    if (options.judge) // what the unit had cannot be told any more
        return Starter{.root = root, .held = *held, .unit = launcher::all_capabilities(), .launcher = true};
    if (const auto kept = held_by(options.reload_of))
        return Starter{.root = root, .held = *kept, .unit = *held, .launcher = true};
    return Starter{.root = root, .held = *held, .unit = *held, .launcher = false};
}

Result<Starter> root_that_starts(const Options& options)
{
    auto result = this_starter(options);
    if (result && !result->root)
        result->held = result->unit = launcher::all_capabilities();
    if (result)
        result->root = true;
    return result;
}

Result<Judgement> judge(const config::Configuration& configuration, const Options& options, const Starter& starter)
{
    const auto owner = trusted_owner(options.trust_files_of);
    if (!owner)
        return tl::unexpected(owner.error());
    Judgement result;
    if (options.reload_of != 0) // what a restart would not mend, either, comes first
        result.plan = config::make_plan(
            configuration,
            plan_options(options, {.root = starter.root, .held = starter.unit, .unit = 0, .launcher = false}, *owner),
            result.found);
    if (!result.found.has_errors()) {
        result.found = {};
        result.plan = config::make_plan(configuration, plan_options(options, starter, *owner), result.found);
    }
    if (!result.plan)
        result.refusal.emplace(nothing_done(starter) + summary(result.found), true, first_error(result.found));
    if (!result.plan && options.starts_nothing()) // all reasons at once
        result.plan = config::make_plan(configuration, plan_options_elsewhere(options, *owner), result.elsewhere);
    if (result.plan)
        judge_plan(configuration, options, starter, result);
    return result;
}

} // namespace belay::manager
