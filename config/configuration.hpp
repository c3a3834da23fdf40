// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/diagnostics.hpp"
#include "launcher/plan.hpp"

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// EVerest's configuration as immutable values (everest-docs/config.md). Nothing here forks, connects or logs.
namespace belay::config {

struct Broker
{
    std::string socket_path; ///< empty: TCP
    std::string host;
    std::uint16_t port = 1883;
    std::string everest_prefix;               ///< with trailing slash
    std::string external_prefix;              ///< verbatim
    std::uint32_t connect_timeout_ms = 30000; ///< belay.yaml, `broker: connect_timeout`
};

struct Settings
{
    std::filesystem::path prefix, config_file, etc_dir, data_dir, modules_dir, interfaces_dir, types_dir, errors_dir,
        schemas_dir, www_dir, logging_config_file;
    Broker broker;
    std::string telemetry_prefix; ///< with trailing slash
    bool telemetry_enabled = false;
    bool validate_schema = false;
    bool forward_exceptions = false;
    std::string run_as_user; ///< empty: stay as started
};

/// What one module may do to the configuration of others (config.md §5, `access`).
struct ModuleAccess
{
    bool allow_read = false;
    bool allow_write = false;
    bool allow_set_read_only = false;
};

struct Access
{
    bool allow_global_read = false;
    bool allow_global_write = false;
    bool allow_set_read_only = false;
    std::map<std::string, ModuleAccess> modules;
};

/// What happens when a module ends by itself; the names are systemd.service(5)'s. Belay's own file says so; otherwise
/// EVerest's rule holds: one end stops all.
struct RestartPolicy
{
    enum class When : std::uint8_t
    {
        never,      ///< EVerest's rule
        on_failure, ///< after anything but a success; after a success the module stays ended, and the others run on
        always,
    };
    enum class Scope : std::uint8_t
    {
        module, ///< it alone is started again; the others run on
        all,    ///< all are stopped in order, and started again
    };
    When policy = When::never;
    Scope scope = Scope::module;
    std::chrono::milliseconds delay{1000};         ///< before the first restart; doubles with each
    std::chrono::milliseconds max_delay{60000};    ///< but not beyond this
    std::chrono::milliseconds stable_after{60000}; ///< a run of this length is forgotten when it ends
    unsigned burst = 5;                            ///< so many restarts without a stable run, then EVerest's rule
    std::set<int> success_exit_status{0};
};

struct Module
{
    std::string id;
    std::string name;
    bool standalone = false; ///< by the configuration or by `--standalone`: not spawned
    bool ignored = false;    ///< by `--ignore`: neither spawned nor waited for
    std::optional<Access> access;
    RestartPolicy restart;
    std::optional<std::chrono::milliseconds> startup_timeout; ///< from its start until it is ready; none: no limit
    std::chrono::milliseconds shutdown_timeout{5000};         ///< from SIGTERM until SIGKILL
    nlohmann::json config;                                    ///< the `module_config` object of wire-protocol.md §4.2
};

/// Where something stands, for problems found after loading.
struct Origin
{
    Location location;
    std::string source;
};

/// Which parts of the standard sandbox a module has; all, unless belay.yaml says otherwise.
struct Sandbox
{
    bool landlock = true;
    bool seccomp = true;
};

/// What belay.yaml says about a module id, a module name or "*".
struct ModulePolicy
{
    std::optional<std::vector<std::string>> capabilities; ///< the most it may ever have
    std::vector<launcher::ResourceLimit> limits;
    std::optional<Sandbox> sandbox;
    std::optional<RestartPolicy> restart;
    std::optional<std::chrono::milliseconds> startup_timeout;
    std::optional<std::chrono::milliseconds> shutdown_timeout;
};

/// belay.yaml's most specific entry that says something: the id, else the name, else "*". Null if none does.
template <typename Predicate>
const ModulePolicy* policy_of(const std::map<std::string, ModulePolicy>& policies, const std::string& id,
                              const std::string& name, Predicate speaks)
{
    for (const auto& key : {id, name, std::string{"*"}}) {
        const auto found = policies.find(key);
        if (found != policies.end() && speaks(found->second))
            return &found->second;
    }
    return nullptr;
}

struct Configuration
{
    Settings settings;
    std::map<std::string, Module> modules;
    nlohmann::json manifests;                ///< name → manifest, defaults filled in, top-level `config` included
    nlohmann::json interface_definitions;    ///< name → definition as published
    nlohmann::json types;                    ///< "/stem" → `types:`; empty unless validate_schema
    nlohmann::json schemas;                  ///< as published; null unless validate_schema
    std::set<std::filesystem::path> sources; ///< every file that had a say, for the trust rule
    std::map<std::string, ModulePolicy> policies; ///< belay.yaml, `modules:`
    std::map<std::string, Origin> origins;        ///< "run_as_user", "<id>" and "<id>/capabilities/<index>"
};

struct LoadOptions
{
    std::string prefix;                             ///< `--prefix`; empty: the installed one
    std::string config;                             ///< `--config`; empty: default.yaml
    std::optional<std::string> everest_prefix;      ///< `--mqtt_everest_prefix`
    std::set<std::string> standalone;               ///< `--standalone`
    std::set<std::string> ignore;                   ///< `--ignore`
    std::map<std::string, std::string> environment; ///< the process's environment
};

/// Loads and validates everything. Every problem found is in `diagnostics`; nothing is returned if one is an error.
std::optional<Configuration> load(const LoadOptions& options, Diagnostics& diagnostics);

/// Every manifest below the modules directory, defaults filled in: name → manifest (`--dumpmanifests`).
std::optional<nlohmann::json> load_all_manifests(const LoadOptions& options, Diagnostics& diagnostics);

struct PlanOptions
{
    bool root = false;                 ///< the effective uid is 0
    launcher::CapabilityMask held = 0; ///< the permitted set of this process: what can be granted
    int landlock_abi = 0;              ///< the kernel's (launcher/landlock.hpp); 0: none
    bool prefix_output = false;
    bool checking = false;   ///< `--check`: users and programs that are missing on this machine are warnings
    uid_t trusted_owner = 0; ///< `--trust-files-of`
    std::map<std::string, std::string> environment;
};

/// What root will do. Modules that are standalone or ignored are not in it. Resolves executables, users, groups and
/// capability names; a missing one is a diagnostic.
std::optional<launcher::LaunchPlan> make_plan(const Configuration& configuration, const PlanOptions& options,
                                              Diagnostics& diagnostics);

} // namespace belay::config
