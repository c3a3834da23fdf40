// SPDX-License-Identifier: Apache-2.0
#include "config/capabilities.hpp"
#include "config/executable.hpp"
#include "config/program.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/landlock.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <utility>

#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

namespace belay::config {

namespace fs = std::filesystem;

namespace {

struct Identity
{
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;
    std::string name, home, shell;
};

std::optional<Identity> look_up(const std::string& name, int& error)
{
    passwd entry{};
    passwd* found = nullptr;
    std::vector<char> buffer(4096);
    while ((error = ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found)) == ERANGE)
        buffer.resize(buffer.size() * 2);
    if (found == nullptr)
        return std::nullopt;
    Identity result{entry.pw_uid, entry.pw_gid, {}, entry.pw_name, entry.pw_dir, entry.pw_shell};
    int count = 64;
    result.groups.resize(static_cast<std::size_t>(count));
    while (::getgrouplist(name.c_str(), entry.pw_gid, result.groups.data(), &count) < 0) {
        count = std::max(count, static_cast<int>(result.groups.size()) * 2);
        result.groups.resize(static_cast<std::size_t>(count));
    }
    result.groups.resize(static_cast<std::size_t>(count));
    return result;
}

constexpr rlim_t most_processes = 2048;

/// Half of what the machine can have, and not more than the service may give.
rlim_t default_process_limit()
{
    rlim_t machine = 2 * most_processes;
    std::ifstream{"/proc/sys/kernel/threads-max"} >> machine;
    rlimit own{};
    if (::getrlimit(RLIMIT_NPROC, &own) != 0)
        own.rlim_max = most_processes;
    return std::min({most_processes, machine / 2, own.rlim_max});
}

/// A user's processes, threads included, must not fill the process table, whatever they do.
void limit_processes(launcher::ProcessPlan& process)
{
    const auto is_said = [](const launcher::ResourceLimit& limit) { return limit.resource == RLIMIT_NPROC; };
    if (std::any_of(process.limits.begin(), process.limits.end(), is_said))
        return;
    const auto limit = default_process_limit();
    process.limits.push_back({RLIMIT_NPROC, limit, limit});
}

class Planner
{
public:
    Planner(const Configuration& configuration, const PlanOptions& options, Diagnostics& diagnostics)
        : configuration_(configuration),
          options_(options),
          diagnostics_(diagnostics),
          privileged_(!configuration.settings.run_as_user.empty())
    {}

    launcher::LaunchPlan make()
    {
        launcher::LaunchPlan plan;
        plan.trust_rule = privileged_ && options_.root;
        plan.trusted_owner = options_.trusted_owner;
        plan.prefix_output = options_.prefix_output;
        if (privileged_)
            resolve_identity();
        for (const auto& [id, module] : configuration_.modules)
            if (!module.standalone && !module.ignored)
                plan.modules.push_back(plan_module(module));
        if (some_kept_)
            diagnostics_.warning({},
                                 "modules without capabilities of their own run as root with everything root may do",
                                 "set `run_as_user` under `settings`");
        if (options_.landlock_abi < launcher::landlock_scopes_abi &&
            std::any_of(plan.modules.begin(), plan.modules.end(), [](const auto& one) { return one.landlock.isolate; }))
            diagnostics_.warning({}, what_landlock_lacks(), "use Linux 6.12 or newer, and keep `landlock` in lsm=");
        plan.manager = plan_manager();
        return plan;
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
        const auto place = found == configuration_.origins.end() ? Origin{} : found->second;
        diagnostics_.add({severity, place.location, std::move(message), std::move(hint), place.source});
    }

    void resolve_identity()
    {
        const auto& user = configuration_.settings.run_as_user;
        int error = 0;
        if (auto identity = look_up(user, error))
            identity_ = std::move(*identity);
        else
            miss("run_as_user",
                 "the user `" + user + "` does not exist" + (error == 0 ? "" : std::string{": "} + errno_text(error)),
                 "create it, for example with: useradd --system " + user);
        if (!options_.root)
            complain("run_as_user", "run_as_user is set, but only root can change the user",
                     "start as root, or remove run_as_user");
    }

    void set_identity(launcher::ProcessPlan& process) const
    {
        process.umask = privileged_ ? 0027 : 0022;
        std::error_code error;
        if (!privileged_) {
            process.working_directory = fs::current_path(error).string();
            if (error)
                process.working_directory = "/";
            process.uid = ::geteuid();
            process.gid = ::getegid();
            return;
        }
        process.working_directory = fs::is_directory(identity_.home, error) ? identity_.home : "/";
        process.change_identity = options_.root;
        process.uid = identity_.uid;
        process.gid = identity_.gid;
        process.groups = identity_.groups;
        process.environment = {"HOME=" + identity_.home, "USER=" + identity_.name, "LOGNAME=" + identity_.name,
                               "SHELL=" + identity_.shell};
    }

    launcher::ProcessPlan plan_module(const Module& module)
    {
        launcher::ProcessPlan process;
        process.id = module.id;
        process.name = module.name;
        process.capabilities = capabilities_of(module);
        set_identity(process);
        const bool declared = process.capabilities != 0;
        if (!options_.root)
            process.privileges = launcher::Privileges::exact_without_setpcap;
        else if (privileged_ || declared)
            process.privileges = launcher::Privileges::exact;
        else
            some_kept_ = true;
        if (options_.root && !privileged_ && declared)
            warn(module.id + "/capabilities/0",
                 "module `" + module.id + "` declares capabilities, but without run_as_user it stays root with them",
                 "set `run_as_user` under `settings`");
        if (const auto* policy = policy_of(module, [](const ModulePolicy& p) { return !p.limits.empty(); }))
            process.limits = policy->limits;
        if (process.change_identity)
            limit_processes(process);
        if (const auto chosen = choose_program(configuration_, module, options_, declared, process); !chosen)
            miss(module.id, "module `" + module.id + "` cannot be started: " + chosen.error().what,
                 chosen.error().remedy);
        else if (const auto carried = file_capabilities(process.program); !carried.empty())
            warn(module.id,
                 process.program + " carries file capabilities (" + carried +
                     "): they have no effect here, but take the ambient ones away",
                 "setcap -r " + process.program + ", and declare what it needs under `capabilities`");
        set_sandbox(module, process);
        return process;
    }

    /// Whoever keeps root could undo it; whoever does not change its user runs what it may write.
    void set_sandbox(const Module& module, launcher::ProcessPlan& process) const
    {
        const auto* policy = policy_of(module, [](const ModulePolicy& p) { return p.sandbox.has_value(); });
        const auto sandbox = policy == nullptr ? Sandbox{} : *policy->sandbox;
        process.system_call_policy =
            sandbox.seccomp ? launcher::SystemCallPolicy::deny_list : launcher::SystemCallPolicy::any;
        process.landlock.isolate = sandbox.landlock && process.privileges != launcher::Privileges::kept;
        if (!process.landlock.isolate || !process.change_identity)
            return;
        process.landlock.handled_fs = LANDLOCK_ACCESS_FS_EXECUTE;
        for (auto& place : executable_places(module, process.program))
            process.landlock.paths.push_back({std::move(place), LANDLOCK_ACCESS_FS_EXECUTE});
    }

    /// What root installs programs to; not what the module's user can write: home, /tmp, /run, /dev/shm, /var.
    [[nodiscard]] std::vector<std::string> executable_places(const Module& module, const std::string& program) const
    {
        const auto& settings = configuration_.settings;
        std::vector<std::string> result{"/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/sbin", "/usr"};
        for (const auto* directory : {"bin", "sbin", "lib", "libexec"})
            result.push_back((settings.prefix / directory).string());
        result.push_back(settings.modules_dir.string());
        // Symbolic links may lead elsewhere; the trust rule holds for what they lead to.
        std::error_code error;
        for (const auto& path : {settings.modules_dir / module.name, fs::path{program}})
            if (const auto real = fs::canonical(path, error); !error)
                result.push_back(real.string());
        return result;
    }

    launcher::ProcessPlan plan_manager() const
    {
        launcher::ProcessPlan process;
        process.id = "manager";
        process.name = "manager";
        set_identity(process);
        process.privileges = options_.root ? launcher::Privileges::exact : launcher::Privileges::exact_without_setpcap;
        // A manager that stays root must still reach the broker's socket and the status FIFO of other users.
        if (options_.root && !privileged_)
            process.capabilities = bit(CAP_DAC_OVERRIDE);
        auto environment = base_environment(configuration_, options_, false);
        for (const auto& entry : process.environment)
            environment[entry.substr(0, entry.find('='))] = entry.substr(entry.find('=') + 1);
        process.environment = flatten(environment);
        return process;
    }

    [[nodiscard]] std::string what_landlock_lacks() const
    {
        if (options_.landlock_abi < launcher::landlock_ptrace_abi)
            return "this kernel has no Landlock: modules of one user can signal each other and the manager, read each "
                   "other's memory, and run what they have written";
        return "this kernel's Landlock (ABI " + std::to_string(options_.landlock_abi) +
               ") does not keep modules of one user from signalling each other and the manager";
    }

    template <typename Predicate>
    const ModulePolicy* policy_of(const Module& module, Predicate speaks) const
    {
        return config::policy_of(configuration_.policies, module.id, module.name, speaks);
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
        const auto* policy = policy_of(module, [](const ModulePolicy& p) { return p.capabilities.has_value(); });
        const auto allows = [&](const std::string& one) { return capability_number(one) == number; };
        if (policy != nullptr && std::none_of(policy->capabilities->begin(), policy->capabilities->end(), allows))
            complain(origin, what + ", which belay.yaml does not allow", "remove it here or allow it there");
        if ((options_.held & bit(number)) == 0)
            complain(origin, what + ", which this process does not hold and so cannot grant",
                     "start as root (with the capability in CapabilityBoundingSet=), or remove it from the module");
        return bit(number);
    }

    const Configuration& configuration_;
    const PlanOptions& options_;
    Diagnostics& diagnostics_;
    bool privileged_;
    bool some_kept_ = false;
    Identity identity_;
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

} // namespace belay::config
