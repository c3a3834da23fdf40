// SPDX-License-Identifier: Apache-2.0
#include "launcher/own_privileges.hpp"

#include "launcher/capability_sets.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/seccomp_filter.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

tl::unexpected<std::string> failure(const char* what, int error)
{
    return tl::unexpected(std::string{"could not "} + what + ": " + errno_text(error));
}

/// Above what this process may give without a capability.
bool is_raised(const ResourceLimit& limit)
{
    struct rlimit64 own
    {};
    return ::syscall(SYS_prlimit64, 0, limit.resource, nullptr, &own) != 0 || limit.hard > own.rlim_max;
}

int install(std::vector<sock_filter>& filter)
{
    const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 ? 0 : errno;
}

} // namespace

CapabilityMask needed_capabilities(const LaunchPlan& plan, CapabilityMask held)
{
    CapabilityMask needed = 0;
    for (const auto& module : plan.modules) {
        if (module.privileges == Privileges::kept || !module.no_new_privileges)
            return held;
        needed |= module.capabilities;
        if (module.privileges == Privileges::exact)
            needed |= capability(CAP_SETPCAP);
        if (module.change_identity)
            needed |= capability(CAP_SETUID) | capability(CAP_SETGID) | capability(CAP_KILL);
        if (std::any_of(module.limits.begin(), module.limits.end(), is_raised) || module.priorities.oom_score_adj)
            needed |= capability(CAP_SYS_RESOURCE);
        if (module.priorities.nice || module.priorities.policy || module.priorities.io)
            needed |= capability(CAP_SYS_NICE);
        if (!module.mounts.empty() || module.network != Network::host)
            needed |= capability(CAP_SYS_ADMIN);
        if (module.network == Network::loopback)
            needed |= capability(CAP_NET_ADMIN);
    }
    if (plan.manager.change_identity)
        needed |= capability(CAP_KILL);
    // A reload makes another manager, also where there was no module to start.
    if (plan.manager.change_identity && !plan.invocation.program.empty())
        needed |= capability(CAP_SETUID) | capability(CAP_SETGID);
    if (plan.manager.privileges == Privileges::exact && !plan.invocation.program.empty())
        needed |= capability(CAP_SETPCAP);
    return needed & held;
}

CapabilityMask lacking_capabilities(const LaunchPlan& plan, CapabilityMask held)
{
    // Without the others some starts succeed nevertheless; those that modules declare are the configuration's matter.
    constexpr CapabilityMask indispensable = capability(CAP_SETUID) | capability(CAP_SETGID) | capability(CAP_SETPCAP) |
                                             capability(CAP_SYS_ADMIN) | capability(CAP_NET_ADMIN);
    const bool all = std::any_of(plan.modules.begin(), plan.modules.end(), [](const ProcessPlan& module) {
        return module.privileges == Privileges::kept || !module.no_new_privileges;
    });
    return all ? 0 : needed_capabilities(plan, indispensable) & ~held;
}

tl::expected<void, std::string> trim_own_privileges(const LaunchPlan& plan)
{
    CapabilitySets sets;
    if (const int error = read_capabilities(sets); error != 0)
        return failure("read its capabilities", error);
    const auto needed = needed_capabilities(plan, sets.permitted);
    auto filter = deny_list(needed, Subject::launcher);
    if (!filter)
        return failure("build the system call filter", filter.error());
    if (const int error = set_ambient(0); error != 0)
        return failure("clear the ambient set", error);
    const bool may_reduce = (sets.effective & capability(CAP_SETPCAP)) != 0;
    if (const int error = may_reduce ? reduce_bounding_set(needed) : 0; error != 0)
        return failure("reduce the capability bounding set", error);
    if (const int error = set_capabilities(needed, needed, 0); error != 0)
        return failure("reduce its capabilities", error);
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return failure("become undumpable", errno);
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return failure("become a subreaper", errno);
    // It would be the modules', too.
    const bool some_gain = std::any_of(plan.modules.begin(), plan.modules.end(),
                                       [](const ProcessPlan& module) { return !module.no_new_privileges; });
    if (!some_gain && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failure("set no_new_privs", errno);
    // With the same capabilities a predecessor has installed the same filter, and each one costs every system call.
    const bool filtered =
        plan.reloaded && needed == sets.permitted && ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER;
    if (const int error = filtered ? 0 : install(*filter); error != 0)
        return failure("install the system call filter", error);
    return {};
}

} // namespace belay::launcher
