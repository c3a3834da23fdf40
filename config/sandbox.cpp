// SPDX-License-Identifier: Apache-2.0
#include "config/sandbox.hpp"

#include "config/files.hpp"
#include "config/system_calls.hpp"
#include "launcher/landlock.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <linux/landlock.h>

namespace belay::config {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t execute_only = LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t read_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t execute_access = read_access | LANDLOCK_ACCESS_FS_EXECUTE;
constexpr std::uint64_t write_access =
    read_access | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
    LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | launcher::landlock_refer | launcher::landlock_truncate;
constexpr std::uint64_t device_access =
    LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | launcher::landlock_ioctl_device;

/// What the C library, OpenSSL and the interpreters read before a program says anything.
constexpr std::array readable_by_all{
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/locale.alias",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/protocols",
    "/etc/python3",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self",
    "/proc/stat",
    "/proc/sys",
    "/proc/uptime",
    "/proc/version",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
};

constexpr std::array devices_of_all{"/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"};

struct Loss
{
    bool applies;
    int since; ///< the ABI that has it
    const char* text;
};

class SandboxPlanner
{
public:
    SandboxPlanner(const Configuration& configuration, const Module& module, const PlanOptions& options,
                   Diagnostics& diagnostics, launcher::ProcessPlan& process)
        : configuration_(configuration),
          module_(module),
          sandbox_(module.policy.sandbox),
          options_(options),
          diagnostics_(diagnostics),
          process_(process)
    {}

    void plan()
    {
        process_.no_new_privileges = sandbox_.no_new_privileges;
        if (!sandbox_.no_new_privileges) {
            // What a setuid program becomes is limited by the bounding set and the securebits.
            if (process_.privileges == launcher::Privileges::exact)
                process_.privileges = launcher::Privileges::exact_without_setpcap;
            process_.system_call_policy = launcher::SystemCallPolicy::any;
        } else {
            plan_system_calls();
            plan_landlock();
        }
        plan_namespaces();
    }

private:
    void plan_system_calls()
    {
        using launcher::SystemCallPolicy;
        process_.system_call_policy =
            sandbox_.seccomp == Confinement::off ? SystemCallPolicy::any : SystemCallPolicy::deny_list;
        if (sandbox_.seccomp != Confinement::strict)
            return;
        process_.system_call_policy = SystemCallPolicy::allow_list;
        const bool kept = process_.privileges == launcher::Privileges::kept;
        auto entries = strict_system_calls(kept ? options_.held : process_.capabilities);
        entries.insert(entries.end(), sandbox_.system_calls.begin(), sandbox_.system_calls.end());
        process_.system_calls = resolve_system_calls(entries).value(); // load() has refused what does not exist
    }

    void plan_landlock()
    {
        auto& landlock = process_.landlock;
        // Whoever keeps root could undo it.
        const bool kept = process_.privileges == launcher::Privileges::kept;
        landlock.isolate = sandbox_.landlock != Confinement::off && !kept;
        if (sandbox_.landlock == Confinement::strict)
            allow_what_is_listed();
        else if (landlock.isolate && process_.change_identity) // others run what they may write
            allow_programs(execute_only);
        const auto lack = what_landlock_lacks(options_.landlock_abi, landlock);
        if (!lack.empty() && sandbox_.require)
            report(options_.checking ? Severity::warning : Severity::error, {},
                   "module `" + module_.id + "` requires its sandbox, but " + lack,
                   "use a newer kernel, keep `landlock` in lsm=, or remove `require`");
    }

    void allow(const std::string& path, std::uint64_t access) { process_.landlock.paths.push_back({path, access}); }

    /// What root installs programs to; not what the module's user can write: home, /tmp, /run, /dev/shm, /var.
    void allow_programs(std::uint64_t access)
    {
        const auto& settings = configuration_.settings;
        process_.landlock.handled_fs |= LANDLOCK_ACCESS_FS_EXECUTE;
        const bool strict = sandbox_.landlock == Confinement::strict;
        for (const auto* place : {"/bin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/sbin", "/usr"})
            allow(place, access);
        if (!strict)
            allow("/etc", access);
        for (const auto* directory : {"bin", "sbin", "lib", "libexec"})
            allow((settings.prefix / directory).string(), access);
        allow(settings.modules_dir.string(), access);
        // Symbolic links may lead elsewhere; the trust rule holds for what they lead to.
        std::error_code error;
        for (const auto& path : {settings.modules_dir / module_.name, fs::path{process_.program}})
            if (const auto real = fs::canonical(path, error); !error)
                allow(real.string(), access);
    }

    void allow_what_is_listed()
    {
        const auto& settings = configuration_.settings;
        auto& landlock = process_.landlock;
        landlock.handled_fs = ~std::uint64_t{0};
        landlock.handled_net = ~std::uint64_t{0};
        allow_programs(execute_access);
        for (const auto* path : readable_by_all)
            allow(path, read_access);
        for (const auto* path : devices_of_all)
            allow(path, device_access);
        allow("/dev/shm", write_access);
        for (const auto& path :
             {settings.data_dir, settings.etc_dir, settings.config_file, settings.logging_config_file})
            allow(path.string(), read_access);
        allow_all(sandbox_.read, read_access);
        allow_all(sandbox_.write, write_access);
        allow_all(sandbox_.execute, execute_access);
        allow_all(sandbox_.devices.value_or(std::vector<Named>{}), device_access);
        if (sandbox_.private_tmp)
            for (const auto* path : {"/tmp", "/var/tmp"})
                allow(path, write_access);
        for (const auto port : sandbox_.bind)
            landlock.ports.push_back({port, launcher::landlock_bind_tcp});
        for (const auto port : sandbox_.connect)
            landlock.ports.push_back({port, launcher::landlock_connect_tcp});
        if (settings.broker.socket_path.empty())
            landlock.ports.push_back({settings.broker.port, launcher::landlock_connect_tcp});
    }

    void allow_all(const std::vector<Named>& paths, std::uint64_t access)
    {
        for (const auto& path : paths) {
            if (!entry_exists(path.name))
                miss(path);
            allow(path.name, access);
        }
    }

    void plan_namespaces()
    {
        using Kind = launcher::MountStep::Kind;
        process_.network = sandbox_.network;
        if (sandbox_.network != launcher::Network::host && configuration_.settings.broker.socket_path.empty())
            report(Severity::error, sandbox_.network_origin,
                   "module `" + module_.id +
                       "` has `network: " + (sandbox_.network == launcher::Network::loopback ? "loopback" : "off") +
                       "`, and so cannot reach the broker by TCP",
                   "set `mqtt_broker_socket_path` under `settings`, or write `network: host`");
        if (sandbox_.protect_system) {
            process_.mounts.push_back({Kind::read_only, "/", {}});
            for (const auto* place : {"/proc", "/dev"})
                process_.mounts.push_back({Kind::writable, place, {}});
            for (const auto& path : sandbox_.write)
                process_.mounts.push_back({Kind::writable, path.name, {}});
        }
        if (sandbox_.private_tmp)
            for (const auto* place : {"/tmp", "/var/tmp"})
                process_.mounts.push_back({Kind::temporary, place, "mode=1777,size=10%"});
        if (sandbox_.devices) {
            process_.mounts.push_back({Kind::devices, "/dev", {}});
            for (const auto& device : *sandbox_.devices) {
                if (!entry_exists(device.name))
                    miss(device);
                if (std::ranges::count(devices_of_all, device.name) == 0 &&
                    std::ranges::count(process_.devices, device.name) == 0) // each is put there once
                    process_.devices.push_back(device.name);
            }
        }
        const bool asked = !process_.mounts.empty() || process_.network != launcher::Network::host;
        if (asked && !options_.root)
            report(Severity::error, {}, "module `" + module_.id + "` asks for a namespace of its own, which takes root",
                   "start as root, or remove `private_tmp`, `protect_system`, `devices` and `network`");
    }

    /// It may well be there on the charger.
    void miss(const Named& path)
    {
        report(options_.checking ? Severity::warning : Severity::error, path.origin,
               '`' + path.name + "`, which module `" + module_.id + "` may use, does not exist",
               "create it, or remove it here");
    }

    void report(Severity severity, const Origin& origin, std::string message, std::string hint)
    {
        auto place = origin;
        if (const auto found = configuration_.origins.find(module_.id);
            place.location.file.empty() && found != configuration_.origins.end())
            place = found->second;
        diagnostics_.add({severity, place.location, std::move(message), std::move(hint), place.source});
    }

    const Configuration& configuration_;
    const Module& module_;
    const Sandbox& sandbox_;
    const PlanOptions& options_;
    Diagnostics& diagnostics_;
    launcher::ProcessPlan& process_;
};

} // namespace

void plan_sandbox(const Configuration& configuration, const Module& module, const PlanOptions& options,
                  Diagnostics& diagnostics, launcher::ProcessPlan& process)
{
    SandboxPlanner{configuration, module, options, diagnostics, process}.plan();
}

std::string what_landlock_lacks(int abi, const launcher::LandlockPlan& plan)
{
    if (plan == launcher::LandlockPlan{})
        return {};
    if (abi < launcher::landlock_ptrace_abi)
        return "this kernel has no Landlock: modules of one user can signal each other and the manager, read each "
               "other's memory, and run what they have written";
    const bool lists_files = (plan.handled_fs & launcher::landlock_truncate) != 0;
    const std::array losses{
        Loss{plan.isolate, launcher::landlock_scopes_abi,
             "does not keep modules of one user from signalling each other and the manager"},
        Loss{plan.isolate || plan.handled_fs != 0, launcher::landlock_refer_abi,
             "refuses to move files between directories"},
        Loss{lists_files, launcher::landlock_truncate_abi, "does not restrict truncation"},
        Loss{plan.handled_net != 0, launcher::landlock_ports_abi, "does not restrict TCP ports"},
        Loss{lists_files, launcher::landlock_ioctl_abi, "does not restrict ioctl(2) on devices"},
    };
    std::string result;
    for (const auto& loss : losses)
        if (loss.applies && abi < loss.since)
            result += (result.empty() ? " " : ", ") + std::string{loss.text};
    return result.empty() ? result : "this kernel's Landlock (ABI " + std::to_string(abi) + ')' + result;
}

} // namespace belay::config
