// SPDX-License-Identifier: Apache-2.0
#include "config/capabilities.hpp"
#include "config/control_group.hpp"
#include "config/executable.hpp"
#include "config/identity.hpp"
#include "config/process_limit.hpp"
#include "config/program.hpp"
#include "config/sandbox.hpp"
#include "launcher/io_priority.hpp"

#include <algorithm>
#include <utility>

#include <linux/capability.h>
#include <unistd.h>

namespace belay::config {

namespace fs = std::filesystem;

namespace {

constexpr std::int32_t usual_io_level = 4;

class Planner
{
public:
    Planner(const Configuration& configuration, const PlanOptions& options, Diagnostics& diagnostics)
        : configuration_(configuration), options_(options), diagnostics_(diagnostics)
    {}

    launcher::LaunchPlan make()
    {
        launcher::LaunchPlan plan;
        plan.trusted_owner = options_.trusted_owner;
        plan.prefix_output = options_.prefix_output;
        plan.journal_output = options_.journal_output;
        plan.unit = options_.unit;
        plan.cgroup = options_.delegation.directory;
        plan.watchdog = configuration_.watchdog;
        resolve_run_as_user();
        for (const auto& [id, module] : configuration_.modules)
            if (!module.standalone && !module.ignored)
                plan.modules.push_back(plan_module(module));
        // The launcher must not be faster than the manager, which knows each module's own.
        for (const auto& process : plan.modules)
            plan.stop_timeout_ms = std::max(plan.stop_timeout_ms, shutdown_timeout_ms(process.id));
        plan.manager = plan_manager();
        const auto changes = [](const launcher::ProcessPlan& process) { return process.change_identity; };
        plan.trust_rule = changes(plan.manager) || std::any_of(plan.modules.begin(), plan.modules.end(), changes);
        if (some_kept_)
            diagnostics_.warning({},
                                 "modules without capabilities of their own run as root with everything root may do",
                                 "set `run_as_user` under `settings`");
        group_limits_.report(diagnostics_);
        warn_of_landlock(plan);
        return plan;
    }

    launcher::ProcessPlan make_manager()
    {
        resolve_run_as_user();
        auto process = plan_manager();
        group_limits_.report(diagnostics_);
        return process;
    }

private:
    void complain(const std::string& origin, std::string message, std::string hint)
    {
        report(Severity::error, origin, std::move(message), std::move(hint));
    }

    void warn(const std::string& origin, std::string message, std::string hint)
    {
        report(Severity::warning, origin, std::move(message), std::move(hint));
    }

    /// What another machine may well have is no mistake of the configuration.
    void miss(const std::string& origin, std::string message, std::string hint)
    {
        report(options_.checking ? Severity::warning : Severity::error, origin, std::move(message), std::move(hint));
    }

    void report(Severity severity, const std::string& origin, std::string message, std::string hint)
    {
        const auto found = configuration_.origins.find(origin);
        report(severity, found == configuration_.origins.end() ? Origin{} : found->second, std::move(message),
               std::move(hint));
    }

    void report(Severity severity, const Origin& place, std::string message, std::string hint)
    {
        diagnostics_.add({severity, place.location, std::move(message), std::move(hint), place.source});
    }

    [[nodiscard]] Severity missing_here() const { return options_.checking ? Severity::warning : Severity::error; }

    std::optional<Identity> look_up(const std::string& user, const Origin& origin)
    {
        auto identity = look_up_user(user);
        if (identity && identity->uid == 0)
            report(Severity::error, origin, "the user `" + user + "` is root: it would keep everything",
                   "name a user of its own, as created by: useradd --system --no-create-home everest");
        if (identity)
            return std::move(*identity);
        report(missing_here(), origin,
               "the user `" + user + "` does not exist" + (identity.error().empty() ? "" : ": " + identity.error()),
               "create it, for example with: useradd --system --no-create-home --shell /usr/sbin/nologin " + user);
        return std::nullopt;
    }

    void resolve_run_as_user()
    {
        const auto& user = configuration_.settings.run_as_user;
        if (user.empty())
            return;
        const auto found = configuration_.origins.find("run_as_user");
        const auto origin = found == configuration_.origins.end() ? Origin{} : found->second;
        run_as_user_ = look_up(user, origin).value_or(Identity{});
        if (!options_.root)
            report(Severity::error, origin, "run_as_user is set, but only root can change the user",
                   "start as root, or remove run_as_user");
    }

    /// Whom a process becomes; nothing if it stays who starts it.
    std::optional<Identity> identity_of(const std::string& id, const ModulePolicy& policy)
    {
        auto identity = run_as_user_;
        if (policy.user && policy.user->name == "dynamic") {
            identity = dynamic_user(id, dynamic_ids_);
            if (!identity)
                report(Severity::error, policy.user->origin, "all ids for dynamic users are taken", "name a user");
            else if (run_as_user_) // the broker's socket and the devices stay within reach
                identity->groups.insert(identity->groups.end(), run_as_user_->groups.begin(),
                                        run_as_user_->groups.end());
        } else if (policy.user) {
            identity = look_up(policy.user->name, policy.user->origin).value_or(Identity{});
        }
        if (policy.user && !options_.root)
            report(Severity::error, policy.user->origin, "`user` is set, but only root can change the user",
                   "start as root, or remove it");
        add_groups(policy, identity);
        return identity;
    }

    void add_groups(const ModulePolicy& policy, std::optional<Identity>& identity)
    {
        for (const auto& group : policy.groups) {
            if (!identity)
                report(Severity::error, group.origin, "`groups` has no effect on a process that keeps its user",
                       "set `user`, or `run_as_user` under `settings`");
            else if (const auto id = look_up_group(group.name))
                identity->groups.push_back(*id);
            else
                report(missing_here(), group.origin, "the group `" + group.name + "` does not exist",
                       "create it, for example with: groupadd --system " + group.name);
        }
    }

    void set_identity(launcher::ProcessPlan& process, const std::optional<Identity>& identity) const
    {
        process.umask = identity ? 0027 : 0022;
        std::error_code error;
        if (!identity) {
            process.working_directory = fs::current_path(error).string();
            if (error)
                process.working_directory = "/";
            process.uid = ::geteuid();
            process.gid = ::getegid();
            return;
        }
        process.working_directory = fs::is_directory(identity->home, error) ? identity->home : "/";
        process.change_identity = options_.root;
        process.uid = identity->uid;
        process.gid = identity->gid;
        process.groups = identity->groups;
        process.environment = {"HOME=" + identity->home, "USER=" + identity->name, "LOGNAME=" + identity->name,
                               "SHELL=" + identity->shell};
    }

    static void set_limits(launcher::ProcessPlan& process, const Limits& limits)
    {
        for (const auto& [resource, limit] : limits.resources)
            process.limits.push_back(limit);
        process.priorities = limits.priorities;
        if (limits.io_class || limits.io_level)
            process.priorities.io =
                io_priority(limits.io_class.value_or(io_best_effort), limits.io_level.value_or(usual_io_level));
        for (const auto& [file, value] : limits.cgroup)
            process.cgroup.push_back({file, value});
    }

    launcher::ProcessPlan plan_module(const Module& module)
    {
        launcher::ProcessPlan process;
        process.id = module.id;
        process.name = module.name;
        process.capabilities = capabilities_of(module);
        const auto identity = identity_of(module.id, module.policy);
        set_identity(process, identity);
        const bool declared = process.capabilities != 0;
        if (!options_.root)
            process.privileges = launcher::Privileges::exact_without_setpcap;
        else if (identity || declared)
            process.privileges = launcher::Privileges::exact;
        else
            some_kept_ = true;
        if (options_.root && !identity && declared)
            warn_of_root(module.id);
        set_limits(process, module.policy.limits);
        group_limits_.settle(ControlGroup::of_module, process);
        if (process.change_identity)
            limit_processes(process, process_limit_);
        const bool guarded = identity.has_value() || declared;
        if (const auto chosen = choose_program(configuration_, module, options_, guarded, process); !chosen)
            miss(module.id, "module `" + module.id + "` cannot be started: " + chosen.error().what,
                 chosen.error().remedy);
        else
            check_program(module, process.program);
        plan_sandbox(configuration_, module, options_, diagnostics_, process);
        return process;
    }

    void warn_of_root(const std::string& id)
    {
        if (::geteuid() == 0)
            warn(id + "/capabilities/0",
                 "module `" + id + "` declares capabilities, but without run_as_user it stays root with them",
                 "set `run_as_user` under `settings`");
        else // who only checks
            warn(id + "/capabilities/0",
                 "module `" + id +
                     "` declares capabilities, which only root can grant, and without run_as_user it "
                     "would be root",
                 "set `run_as_user` under `settings`, or remove them to start without root");
    }

    /// What the program's file would give it.
    void check_program(const Module& module, const std::string& program)
    {
        const auto carried = file_capabilities(program);
        const auto bit = set_id_bit(program);
        const bool counts = !module.policy.sandbox.no_new_privileges;
        const auto remedy = "setcap -r " + program + ", and declare what it needs under `capabilities`";
        if (counts && !bit.empty())
            complain(module.id,
                     program + " has " + bit + ", which with `no_new_privileges: false` would make it somebody else",
                     "chmod ug-s " + program + ", and set `user`");
        if (counts && !carried.empty())
            complain(module.id,
                     program + " carries file capabilities (" + carried +
                         "), which with `no_new_privileges: false` it would have beside the declared ones",
                     remedy);
        else if (!carried.empty())
            warn(module.id,
                 program + " carries file capabilities (" + carried +
                     "): they have no effect here, but take the ambient ones away",
                 remedy);
    }

    [[nodiscard]] std::uint32_t shutdown_timeout_ms(const std::string& id) const
    {
        const auto& policy = configuration_.modules.at(id).policy;
        return static_cast<std::uint32_t>(
            std::max(policy.shutdown_timeout, policy.request_timeout.value_or(policy.shutdown_timeout)).count());
    }

    launcher::ProcessPlan plan_manager()
    {
        launcher::ProcessPlan process;
        process.id = "manager";
        process.name = "manager";
        const auto identity = identity_of("manager", configuration_.manager);
        set_identity(process, identity);
        set_limits(process, configuration_.manager.limits);
        group_limits_.settle(ControlGroup::none, process);
        process.privileges = options_.root ? launcher::Privileges::exact : launcher::Privileges::exact_without_setpcap;
        // A manager that stays root must still reach the broker's socket and the status FIFO of other users.
        if (options_.root && !identity)
            process.capabilities = bit(CAP_DAC_OVERRIDE);
        auto environment = base_environment(options_, identity.has_value());
        for (const auto& entry : process.environment)
            environment[entry.substr(0, entry.find('='))] = entry.substr(entry.find('=') + 1);
        process.environment = flatten(environment);
        return process;
    }

    /// Once for all; whoever requires it is an error by itself.
    void warn_of_landlock(const launcher::LaunchPlan& plan)
    {
        std::set<std::string> said;
        for (const auto& module : plan.modules)
            if (auto lack = what_landlock_lacks(options_.landlock_abi, module.landlock);
                !lack.empty() && said.insert(lack).second)
                diagnostics_.warning({}, std::move(lack), "use Linux 6.12 or newer, and keep `landlock` in lsm=");
    }

    launcher::CapabilityMask capabilities_of(const Module& module)
    {
        launcher::CapabilityMask result = 0;
        const auto names = module.config.value("capabilities", nlohmann::json::array());
        for (std::size_t i = 0; i < names.size(); ++i)
            result |= grant(module, names[i].get<std::string>(), module.id + "/capabilities/" + std::to_string(i));
        const auto needed = known_needs(module.name);
        // Most installations run Setup without its network tools: silence for one that asks for nothing.
        if (needed && result != *needed && !(module.name == "Setup" && result == 0))
            warn(module.id,
                 "module `" + module.id + "` (" + module.name + ") asks for " + capability_list(result) +
                     ", but is known to need " + capability_list(*needed),
                 "set `capabilities` accordingly");
        return result;
    }

    launcher::CapabilityMask grant(const Module& module, const std::string& name, const std::string& origin)
    {
        const auto what = "module `" + module.id + "` asks for the capability `" + name + "`";
        const int number = capability_number(name).value(); // load() has refused what does not exist
        if (const auto reason = amounts_to_root(capability_name(number)); !reason.empty())
            warn(origin, what + ", which amounts to root: " + reason, "do without it if you can");
        const auto& allowed = module.policy.capabilities;
        const auto allows = [&](const std::string& one) { return capability_number(one) == number; };
        if (allowed && std::none_of(allowed->begin(), allowed->end(), allows))
            complain(origin, what + ", which belay.yaml does not allow", "remove it here or allow it there");
        if ((options_.held & bit(number)) == 0)
            complain(origin, what + ", which this process does not hold and so cannot grant",
                     options_.reloaded ? "restart instead of reloading: the launcher has given up what no module had"
                                       : "start as root (with the capability in CapabilityBoundingSet=), or remove it "
                                         "from the module");
        return bit(number);
    }

    const Configuration& configuration_;
    const PlanOptions& options_;
    Diagnostics& diagnostics_;
    ControlGroupLimits group_limits_{options_.delegation};
    bool some_kept_ = false;
    std::optional<Identity> run_as_user_;
    std::set<uid_t> dynamic_ids_;
    const rlim_t process_limit_ = usual_process_limit();
};

} // namespace

std::optional<launcher::LaunchPlan> make_plan(const Configuration& configuration, const PlanOptions& options,
                                              Diagnostics& diagnostics)
{
    Diagnostics found;
    auto plan = Planner{configuration, options, found}.make();
    found.sort(configuration.settings.config_file.string());
    diagnostics.append(found);
    if (found.has_errors())
        return std::nullopt;
    return plan;
}

std::optional<launcher::ProcessPlan> make_manager_plan(const Configuration& configuration, const PlanOptions& options,
                                                       Diagnostics& diagnostics)
{
    auto plan = Planner{configuration, options, diagnostics}.make_manager();
    if (diagnostics.has_errors())
        return std::nullopt;
    return plan;
}

} // namespace belay::config
