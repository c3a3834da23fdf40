// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>

namespace belay::launcher {

/// A cgroup v2 directory that this process was given to divide; see "Delegation" in cgroups(7) and systemd's
/// CGROUP_DELEGATION. Empty: none.
struct Delegation
{
    std::string directory;
    std::set<std::string> controllers; ///< what can be enabled below it: "memory", "pids", "cpu", …
};

/// This process's own cgroup, or the one above it where it is the leaf that a launcher moved to before, if systemd
/// (Delegate=yes) or somebody else marked it as delegated: by the extended attribute `trusted.delegate`, which only
/// root can set and see, or `user.delegate`. Without cgroup.kill (Linux 5.14) it is of no use.
Delegation find_delegation();

/// Where a launcher puts itself and the manager: a cgroup that has others below it may not have processes of its own.
constexpr const char* supervisor_leaf = "supervisor";

} // namespace belay::launcher
