// SPDX-License-Identifier: Apache-2.0
#include "launcher/signal_domain.hpp"

#include "launcher/capability_sets.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/landlock.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

bool out_of_reach(pid_t pid) noexcept
{
    return ::kill(pid, 0) != 0 && errno == EPERM;
}

} // namespace

bool wants_signal_domain(const LaunchPlan& plan) noexcept
{
    return !plan.modules.empty() && signals_others(plan) == nullptr;
}

const ProcessPlan* signals_others(const LaunchPlan& plan) noexcept
{
    const auto found = std::find_if(plan.modules.begin(), plan.modules.end(),
                                    [](const ProcessPlan& module) { return !module.landlock.isolate; });
    return found == plan.modules.end() ? nullptr : &*found;
}

bool enter_signal_domain() noexcept
{
    if (landlock_abi() < landlock_scopes_abi)
        return false;
    const LandlockAttributes attributes{.scoped = landlock_scope_signal};
    const FileDescriptor ruleset{
        static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0))};
    return ruleset && ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0;
}

bool reaches_nobody_else() noexcept
{
    CapabilitySets sets;
    const bool almighty =
        ::geteuid() == 0 && read_capabilities(sets) == 0 && (sets.effective & capability(CAP_KILL)) != 0;
    const pid_t parent = ::getppid(); // 0: it is in another pid namespace, and not to be asked about
    return almighty && ::getpid() != 1 && parent > 0 && out_of_reach(1) && out_of_reach(parent);
}

} // namespace belay::launcher
