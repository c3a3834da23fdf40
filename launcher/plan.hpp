// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tl/expected.hpp>

#include <cstdint>
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
    bool change_identity = false;         ///< set groups, gid and uid; otherwise those of the launcher stay
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups; ///< all supplementary groups
    Privileges privileges = Privileges::kept;
    CapabilityMask capabilities = 0;
    mode_t umask = 0027;
    std::vector<ResourceLimit> limits;
    bool filter_system_calls = true; ///< the seccomp deny list, less what `capabilities` need
    bool isolate = true;             ///< a Landlock domain of its own, as far as the kernel can (landlock.hpp)
    std::vector<std::string> executable_below; ///< with `isolate`: directories and files; empty: not restricted
};

struct LaunchPlan
{
    std::vector<ProcessPlan> modules; ///< the index is the module's number in the protocol
    ProcessPlan manager;
    bool trust_rule = false;              ///< executables must be writable by root alone (sshd's StrictModes)
    uid_t trusted_owner = 0;              ///< besides root; a developer's own build tree
    bool prefix_output = false;           ///< module output goes through pipes to the manager instead of to stderr
    std::uint32_t stop_timeout_ms = 5000; ///< SIGTERM to SIGKILL when the launcher itself must end the modules
};

/// The plan as bytes: little endian, length-prefixed, with a magic number and a version.
std::string encode(const LaunchPlan& plan);

/// The inverse. Strict: every length is bounded, every enumerator known, no byte is left over.
/// The error is a sentence that names the offset and what was wrong there.
tl::expected<LaunchPlan, std::string> decode(std::span<const std::byte> bytes);

} // namespace belay::launcher
