// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tl/expected.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <sys/types.h>

/// The launch plan: everything the launcher will ever do, decided before it starts. Names are already resolved to
/// numbers. `config` produces it, `bin/manager` hands it over in a sealed memfd, the launcher does only what it says.
namespace belay::launcher {

/// A set of capabilities: bit N is capability N of capabilities(7).
using CapabilityMask = std::uint64_t;

/// How far a process's capabilities are taken away.
enum class Privileges : std::uint8_t
{
    /// Nothing is taken: the process stays what the launcher is. Only without `run_as_user`, as under EVerest.
    kept,
    /// permitted = effective = inheritable = bounding = ambient = `capabilities`, securebits locked. Needs CAP_SETPCAP.
    exact,
    /// As `exact` but for the bounding set and the securebits, which only CAP_SETPCAP may change: a launcher without
    /// root. `no_new_privs` makes both ineffective.
    exact_without_setpcap,
};

struct ResourceLimit
{
    int resource; ///< RLIMIT_* of setrlimit(2)
    rlim_t soft;
    rlim_t hard;

    bool operator==(const ResourceLimit&) const = default;
};

/// A soft RLIMIT_CORE for no core at all. 0 would do for files only: what is piped to a program, such as
/// systemd-coredump, has no limit (core(5)), but that Linux dumps nothing at a limit of exactly 1.
constexpr rlim_t no_core = 1;

/// What seccomp(2) refuses a process.
enum class SystemCallPolicy : std::uint8_t
{
    any,
    deny_list,  ///< EPERM for what takes a capability that is not held (seccomp_filter.hpp)
    allow_list, ///< a module is killed for anything but `system_calls`; EPERM for some of that (seccomp_filter.hpp)
};

/// landlock(7): what a process may do to a file, or to a directory and all below it.
struct PathRule
{
    std::string path;
    std::uint64_t access; ///< LANDLOCK_ACCESS_FS_*

    bool operator==(const PathRule&) const = default;
};

struct PortRule
{
    std::uint16_t port;
    std::uint64_t access; ///< LANDLOCK_ACCESS_NET_*

    bool operator==(const PortRule&) const = default;
};

/// A Landlock domain, as far as the running kernel can; what it does not know is left out (landlock.hpp).
struct LandlockPlan
{
    bool isolate = false;          ///< no ptrace(2) of, signal to or abstract socket of who is outside of the domain
    std::uint64_t handled_fs = 0;  ///< refused but for `paths`
    std::uint64_t handled_net = 0; ///< refused but for `ports`
    std::vector<PathRule> paths;   ///< a missing one is left out
    std::vector<PortRule> ports;

    bool operator==(const LandlockPlan&) const = default;
};

/// One step of the view of the file system that a process gets in a mount namespace of its own; see mount(8).
struct MountStep
{
    enum class Kind : std::uint8_t
    {
        temporary, ///< mount a tmpfs on `target`; `source`: its options
        read_only, ///< make `target` and all that is mounted below it read-only
        writable,  ///< make `target` a mount of its own that can be written
        devices,   ///< mount a tmpfs with the plan's `devices` on /dev
    };
    Kind kind = Kind::read_only;
    std::string target; ///< absolute path
    std::string source;

    bool operator==(const MountStep&) const = default;
};

enum class Network : std::uint8_t
{
    host,
    loopback, ///< a network namespace of its own with an `lo` that is up
    none,     ///< a network namespace of its own
};

/// sched(7), ioprio_set(2), proc_pid_oom_score_adj(5). Without a value the launcher's own is kept.
struct Priorities
{
    std::optional<std::int32_t> nice;
    std::optional<std::int32_t> policy; ///< SCHED_*
    std::int32_t static_priority = 0;   ///< with SCHED_FIFO and SCHED_RR; else 0
    std::vector<std::uint32_t> cpus;    ///< empty: all
    std::optional<std::int32_t> io;     ///< as io_priority() makes it
    std::optional<std::int32_t> oom_score_adj;

    bool operator==(const Priorities&) const = default;
};

/// A file of the process's control group and what is written there, as in cgroups(7): {"memory.max", "268435456"}.
struct CgroupSetting
{
    std::string file;
    std::string value;

    bool operator==(const CgroupSetting&) const = default;
};

/// One process. Strings carry no NUL.
struct ProcessPlan
{
    std::string id;                       ///< module id; "manager" for the manager
    std::string name;                     ///< module name (value of `module:`), for messages
    std::string program;                  ///< absolute path; empty for the manager, which is not executed
    std::vector<std::string> arguments;   ///< argv, argv[0] included
    std::vector<std::string> environment; ///< the whole environment, NAME=value
    std::string working_directory;        ///< absolute path
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups; ///< all supplementary groups
    CapabilityMask capabilities = 0;
    Privileges privileges = Privileges::kept;
    bool change_identity = false;  ///< set groups, gid and uid; otherwise those of the launcher stay
    bool no_new_privileges = true; ///< false: neither a system call filter nor a Landlock domain is possible
    Network network = Network::host;
    mode_t umask = 0027;
    std::vector<ResourceLimit> limits;
    Priorities priorities;
    std::vector<CgroupSetting> cgroup; ///< with LaunchPlan::cgroup
    std::vector<MountStep> mounts;     ///< empty: the launcher's view of the file system
    std::vector<std::string> devices;  ///< absolute paths below /dev; with MountStep::Kind::devices
    LandlockPlan landlock;
    std::vector<std::int32_t> system_calls; ///< with `allow_list`: numbers of this machine
    SystemCallPolicy system_call_policy = SystemCallPolicy::deny_list;
};

/// How bin/manager was started, for a reload.
struct Invocation
{
    std::string program; ///< absolute path; empty: no reload is possible
    std::vector<std::string> arguments;
    std::vector<std::string> environment;
};

/// What resets the machine, or has systemd end the service, if the charger hangs; belay.yaml, `watchdog:`.
struct WatchdogPlan
{
    bool wanted = false;             ///< belay.yaml has it; without, only systemd's WATCHDOG_USEC leads to heartbeats
    std::string device;              ///< absolute path; empty: no hardware
    bool require = true;             ///< a device that cannot be used is an error
    std::uint32_t timeout_s = 30;    ///< from the last feeding until the machine is reset
    std::uint32_t pretimeout_s = 0;  ///< before that, so much, the governor acts; 0: never
    std::string pretimeout_governor; ///< empty: as it is
    std::uint32_t heartbeat_ms = 0;  ///< between two heartbeats of the manager; 0: a quarter of the shortest timeout
    std::string record_directory;    ///< of StepRecord; empty: none
    std::string history;             ///< what its file has in it
};

struct LaunchPlan
{
    std::vector<ProcessPlan> modules; ///< the index is the module's number in the protocol
    ProcessPlan manager;
    bool trust_rule = false;     ///< executables must be writable by root alone (sshd's StrictModes)
    uid_t trusted_owner = 0;     ///< besides root; a developer's own build tree
    bool prefix_output = false;  ///< module output goes through pipes to the manager instead of to stderr
    bool journal_output = false; ///< each module prints to a journal stream of its own instead
    std::string unit;            ///< systemd's name of this service, for these; empty: none
    bool signal_domain = false;  ///< launcher, manager and modules are in one (signal_domain.hpp)
    std::string cgroup;          ///< the delegated cgroup v2 directory that is Belay's own; empty: none
    WatchdogPlan watchdog;
    std::string notify_directory; ///< with a socket for some modules, named by number; removed in the end; empty: none
    Invocation invocation;
    bool reloaded = false;                ///< the launcher before this one, with the same pid, confined itself already
    std::uint32_t stop_timeout_ms = 5000; ///< SIGTERM to SIGKILL when the launcher itself must end the modules
};

/// The plan as bytes: little endian, length-prefixed, with a magic number and a version.
std::string encode(const LaunchPlan& plan);

/// The inverse. Strict: every length is bounded, every enumerator known, no byte is left over.
/// The error is a sentence that names the offset and what was wrong there.
tl::expected<LaunchPlan, std::string> decode(std::span<const std::byte> bytes);

} // namespace belay::launcher
