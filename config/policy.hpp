// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/diagnostics.hpp"
#include "launcher/plan.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// What belay.yaml says about a module: the values of its keys, checked as far as the file alone allows.
namespace belay::config {

/// Where something stands, for problems found after loading.
struct Origin
{
    Location location;
    std::string source;
};

/// The name of something that only the machine knows: a user, a group, a file.
struct Named
{
    std::string name;
    Origin origin;
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
    bool given = false;    ///< belay.yaml has it
    bool together = false; ///< restarts of all modules with such a policy are counted as one module's
};

/// `--recover-module-crashes`: three restarts of all at once, whichever modules ended, for as long as the manager
/// lives.
[[nodiscard]] inline RestartPolicy everest_recovery()
{
    constexpr std::chrono::hours never{24 * 36500};
    RestartPolicy policy;
    policy.policy = RestartPolicy::When::always;
    policy.scope = RestartPolicy::Scope::all;
    policy.delay = policy.max_delay = std::chrono::milliseconds{0};
    policy.stable_after = never;
    policy.burst = 3;
    policy.together = true;
    return policy;
}

enum class Confinement : std::uint8_t
{
    off,
    standard, ///< takes away what no module of EVerest can need
    strict,   ///< allows what is listed
};

/// What a module is kept from. Without belay.yaml, `standard`.
struct Sandbox
{
    Confinement landlock = Confinement::standard;
    Confinement seccomp = Confinement::standard;
    bool require = false; ///< what the kernel cannot do is an error
    bool no_new_privileges = true;
    std::vector<Named> read, write, execute;  ///< with `landlock: strict`, and `write` with `protect_system`
    std::vector<std::uint16_t> connect, bind; ///< TCP ports; with `landlock: strict`
    std::vector<std::string> system_calls;    ///< names and groups; with `seccomp: strict`
    bool private_tmp = false;
    bool protect_system = false;               ///< the system is read-only, as with systemd's ProtectSystem=strict
    std::optional<std::vector<Named>> devices; ///< none but these, and those that every program may expect
    launcher::Network network = launcher::Network::host;
    Origin network_origin; ///< where that stands
};

/// setrlimit(2), sched(7), cgroups(7).
struct Limits
{
    std::map<int, launcher::ResourceLimit> resources; ///< by RLIMIT_*
    launcher::Priorities priorities;                  ///< but for `io`, which is made of these two:
    std::optional<std::int32_t> io_class;             ///< IoClass
    std::optional<std::int32_t> io_level;             ///< 0, most urgent, to 7
    std::map<std::string, std::string> cgroup;        ///< file → value
};

/// How it is told that a module hangs.
struct Liveness
{
    std::chrono::milliseconds stuck_after{30000};      ///< stopped, or in the kernel without progress, for so long
    std::optional<std::chrono::milliseconds> watchdog; ///< it sends WATCHDOG=1, sd_notify(3), at least so often
};

/// One module's: of "*", of its name and of its id, each key from the most specific entry that has it.
struct ModulePolicy
{
    std::optional<std::vector<std::string>> capabilities; ///< the most it may ever have
    std::optional<Named> user;                            ///< instead of `run_as_user`; `dynamic`: an unused id
    std::vector<Named> groups;                            ///< added to its user's
    std::map<std::string, std::string> environment;       ///< environ(7)
    std::vector<std::string> pass_environment;            ///< variables that it gets from the manager's environment
    Limits limits;
    Sandbox sandbox;
    RestartPolicy restart;
    Liveness liveness;
    std::optional<std::chrono::milliseconds> startup_timeout; ///< from its start until it is ready; none: no limit
    std::chrono::milliseconds shutdown_timeout{5000};         ///< from SIGTERM until SIGKILL
    std::optional<std::chrono::milliseconds> request_timeout; ///< from the request until SIGTERM; none: the same
};

} // namespace belay::config
