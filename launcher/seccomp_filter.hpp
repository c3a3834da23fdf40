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

enum class Subject
{
    module,
    launcher ///< may call clone3(2) and keyctl(2), which starting a module takes
};

/// The program for a process that holds `held`. The error is an errno of libseccomp.
tl::expected<std::vector<sock_filter>, int> deny_list(CapabilityMask held, Subject subject);

} // namespace belay::launcher
