// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <tl/expected.hpp>

#include <vector>

#include <linux/filter.h>

/// A seccomp(2) filter that refuses (EPERM) what a module without the right capability has no business with: user
/// namespaces, ptrace, kexec, module loading, bpf, mounts and the like. A deny list, because modules are other
/// people's programs; each group of calls is opened by the capability that the kernel itself would ask for.
namespace belay::launcher {

/// clone3(2) takes its flags in memory, where a filter cannot look: refused with ENOSYS, so that the C library uses
/// clone(2), unless the launcher needs it for itself.
enum class Clone3
{
    refused,
    allowed
};

/// The program for a process that holds `held`. The error is an errno of libseccomp.
tl::expected<std::vector<sock_filter>, int> deny_list(CapabilityMask held, Clone3 clone3);

} // namespace belay::launcher
