// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/diagnostics.hpp"
#include "config/policy.hpp"
#include "launcher/delegation.hpp"
#include "launcher/plan.hpp"

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
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
    std::optional<bool> recover;              ///< belay.yaml: after it was lost, wait for it and start all again
    std::optional<std::chrono::milliseconds> reconnect_timeout; ///< belay.yaml; with `recover`; none: no limit
    std::string dialect; ///< belay.yaml, `broker: dialect`: a release of EVerest; empty: learned
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
    std::string version;     ///< version_information.txt; empty if there is none
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

struct Module
{
    std::string id;
    std::string name;
    bool standalone = false;               ///< by the configuration or by `--standalone`: not spawned
    bool ignored = false;                  ///< by `--ignore`: neither spawned nor waited for
    bool capabilities_of_manifest = false; ///< the entry is silent
    std::optional<Access> access;
    ModulePolicy policy;   ///< belay.yaml
    nlohmann::json config; ///< the `module_config` object of wire-protocol.md §4.2
};

struct Configuration
{
    Settings settings;
    std::map<std::string, Module> modules;
    nlohmann::json manifests;                ///< name → manifest, defaults filled in, top-level `config` included
    nlohmann::json interface_definitions;    ///< name → definition as published
    nlohmann::json types;                    ///< "/stem" → `types:`; empty unless validate_schema
    nlohmann::json schemas;                  ///< as published
    std::filesystem::path belay_yaml;        ///< empty: there is none
    std::filesystem::path overlay;           ///< that was merged; empty: none
    std::set<std::filesystem::path> sources; ///< every file that had a say, for the trust rule
    ModulePolicy manager;                    ///< belay.yaml, `manager:`; user, groups and limits
    launcher::WatchdogPlan watchdog;         ///< belay.yaml, `watchdog:`
    bool from_database = false;              ///< the modules are those of the database
    bool values_of_others = false;           ///< an overlay or a database that others than root may write had a say
    std::map<std::string, Origin> origins;   ///< "run_as_user", "<id>" and "<id>/capabilities/<index>"
};

/// Others than root may write the overlay and the database, which so may change values only. Without a file there is
/// nothing to compare with: then the database must be root's own.
bool values_only(const Configuration& configuration);

/// What a configuration database says.
struct StoredModules
{
    /// In the form of the file's `active_modules`, from a source that is not trusted; none: the database is empty.
    std::optional<nlohmann::json> active_modules;
};

/// Reads the database as the user that the manager will be; `so_far` has the settings and belay.yaml's `manager:`. The
/// error is a sentence without the database's name.
using ReadDatabase = std::function<tl::expected<StoredModules, std::string>(const Configuration& so_far)>;

struct LoadOptions
{
    std::string prefix;                             ///< `--prefix`; empty: the installed one
    std::string program_prefix;                     ///< instead, if nothing is installed there; empty: none
    bool recover_module_crashes = false;            ///< `--recover-module-crashes`
    std::string config;                             ///< `--config`; empty: default.yaml, or with a database none
    std::optional<std::string> everest_prefix;      ///< `--mqtt_everest_prefix`
    std::set<std::string> standalone;               ///< `--standalone`
    std::set<std::string> ignore;                   ///< `--ignore`
    bool reloaded = false;                          ///< modules run with what was read before
    std::map<std::string, std::string> environment; ///< the process's environment
    std::string database;                           ///< `--db`, for messages
    ReadDatabase read_database;                     ///< none: the database has no say
};

/// EVerest's directory, as `options` have it, if it is there.
std::filesystem::path wanted_prefix(const LoadOptions& options);

/// Why there is no configuration is in the diagnostics.
struct Invalid
{
    bool by_root; ///< nobody else had a say: it stays so until root changes a file
};

/// Loads and validates everything. Every problem found is in `diagnostics`; nothing is returned if one is an error.
tl::expected<Configuration, Invalid> load(const LoadOptions& options, Diagnostics& diagnostics);

/// Every manifest below the modules directory, defaults filled in: name → manifest (`--dumpmanifests`).
std::optional<nlohmann::json> load_all_manifests(const LoadOptions& options, Diagnostics& diagnostics);

struct PlanOptions
{
    bool root = false;                 ///< the effective uid is 0
    launcher::CapabilityMask held = 0; ///< the permitted set of this process: what can be granted
    int landlock_abi = 0;              ///< the kernel's (launcher/landlock.hpp); 0: none
    launcher::Delegation delegation;   ///< of this process
    bool prefix_output = false;
    bool journal_output = false;
    std::string unit;        ///< systemd's name of this service; empty: it is none
    bool reloaded = false;   ///< a launcher executes this, which has given up what it did not need
    bool checking = false;   ///< `--check`: users and programs that are missing on this machine are warnings
    uid_t trusted_owner = 0; ///< `--trust-files-of`
    std::map<std::string, std::string> environment;
};

/// What root will do. Modules that are standalone or ignored are not in it. Resolves executables, users, groups and
/// capability names; a missing one is a diagnostic.
std::optional<launcher::LaunchPlan> make_plan(const Configuration& configuration, const PlanOptions& options,
                                              Diagnostics& diagnostics);

/// The manager's part of it alone; `configuration` needs no more than the settings and belay.yaml's `manager:`.
std::optional<launcher::ProcessPlan> make_manager_plan(const Configuration& configuration, const PlanOptions& options,
                                                       Diagnostics& diagnostics);

} // namespace belay::config
