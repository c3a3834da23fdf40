// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <cstdint>

/// landlock(7): what keeps processes of one user apart, from running what they wrote, and, if the plan says so, from
/// files and ports. The stage itself is in stage_functions.hpp.
namespace belay::launcher {

/// What the kernel's Landlock can do, by its ABI.
constexpr int landlock_ptrace_abi = 1; ///< no ptrace(2) of, and no /proc/PID/mem … of, who is outside of the domain
constexpr int landlock_refer_abi = 2;  ///< files may move between directories
constexpr int landlock_truncate_abi = 3;
constexpr int landlock_ports_abi = 4;  ///< TCP ports
constexpr int landlock_ioctl_abi = 5;  ///< ioctl(2) on devices
constexpr int landlock_scopes_abi = 6; ///< no signal to, and no abstract socket of, who is outside

// Rights that Debian 12's <linux/landlock.h>, which ends with ABI 2, does not know or not yet name.
constexpr std::uint64_t landlock_refer = 1U << 13U;        ///< since ABI 2
constexpr std::uint64_t landlock_truncate = 1U << 14U;     ///< since ABI 3
constexpr std::uint64_t landlock_ioctl_device = 1U << 15U; ///< since ABI 5
constexpr std::uint64_t landlock_bind_tcp = 1U << 0U;      ///< since ABI 4
constexpr std::uint64_t landlock_connect_tcp = 1U << 1U;   ///< since ABI 4

constexpr std::uint64_t landlock_scope_abstract_unix_socket = 1U << 0U; ///< since ABI 6
constexpr std::uint64_t landlock_scope_signal = 1U << 1U;               ///< since ABI 6

/// struct landlock_ruleset_attr of Linux 6.12; older kernels take it as long as what they do not know is 0.
struct LandlockAttributes
{
    std::uint64_t handled_access_fs = 0;
    std::uint64_t handled_access_net = 0;
    std::uint64_t scoped = 0;
};

/// What a plan comes to on a kernel; without attributes there is no domain.
struct LandlockRuleset
{
    LandlockAttributes attributes;
    /// `/` is allowed `landlock_refer`: whoever handles files forbids to move them from one directory to another,
    /// unless that is handled and allowed.
    bool moves_freely = false;
};

LandlockRuleset resolve(const LandlockPlan& plan, int abi) noexcept;

/// The running kernel's; 0: it has none, or it is switched off.
int landlock_abi() noexcept;

/// The LANDLOCK_ACCESS_FS_* and LANDLOCK_ACCESS_NET_* that a kernel of this ABI can handle.
std::uint64_t landlock_file_rights(int abi) noexcept;
std::uint64_t landlock_port_rights(int abi) noexcept;

} // namespace belay::launcher
