// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <span>
#include <vector>

#include <linux/filter.h>

/// Filters for seccomp(2). The deny list refuses (EPERM) what a module without the right capability has no business
/// with: user namespaces, ptrace, kexec, module loading, bpf, mounts and the like; modules are other people's programs,
/// and each group of calls is opened by the capability that the kernel itself would ask for. The allow list names what
/// a program may call and leaves the rest to a listener.
namespace belay::launcher {

enum class Subject
{
    module,
    /// May call clone3(2) and keyctl(2), which starting a module takes. Its modules inherit the filter, whose refusals
    /// are therefore such (SECCOMP_RET_TRACE: ENOSYS, unless a tracer knows better) that a module's own count for more.
    launcher
};

/// The program for a process that holds `held`. The error is an errno of libseccomp.
tl::expected<std::vector<sock_filter>, int> deny_list(CapabilityMask held, Subject subject);

/// For a module that may call `allowed`: what the deny list refuses by argument or for a program to find another way,
/// with the same errors; and ENOSYS for calls that are newer than the libseccomp at hand, and thus than any list.
tl::expected<std::vector<sock_filter>, int> argument_rules(CapabilityMask held, std::span<const std::int32_t> allowed);

/// SECCOMP_RET_USER_NOTIF for anything but `allowed` and what a start takes after this filter (sendmsg, execveat, and
/// write and exit_group for a failed one); another architecture's call kills the process.
tl::expected<std::vector<sock_filter>, int> allow_list(std::span<const std::int32_t> allowed);

struct Filters
{
    std::vector<sock_filter> refusing; ///< empty: none
    std::vector<sock_filter> allowing; ///< empty: none; to be installed with a listener
};

/// What the policy of `plan` takes for a process that holds `held`.
tl::expected<Filters, int> filters_of(const ProcessPlan& plan, CapabilityMask held);

} // namespace belay::launcher
