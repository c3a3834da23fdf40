// SPDX-License-Identifier: Apache-2.0
#include "launcher/raw_calls.hpp"
#include "launcher/stage_functions.hpp"

#include <array>
#include <csignal>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

int verify_limits(const ModuleStart& start) noexcept
{
    for (const auto& limit : start.limits) {
        struct rlimit64 found
        {};
        if (::syscall(SYS_prlimit64, 0, limit.resource, nullptr, &found) != 0)
            return errno;
        if (found.rlim_cur != limit.soft || found.rlim_max != limit.hard)
            return mismatch;
    }
    return ::umask(start.umask) == start.umask ? 0 : mismatch; // it has no error to return
}

int verify_parent(const ModuleStart& start) noexcept
{
    if (start.parent == 0)
        return 0;
    int death_signal = 0;
    int subreaper = 0;
    if (::prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) != 0 ||
        ::prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0) != 0)
        return errno;
    return death_signal == SIGKILL && subreaper == 1 ? 0 : mismatch;
}

int verify_isolation(const ModuleStart& start) noexcept
{
    return start.out_of_reach > 0 && ::kill(start.out_of_reach, 0) == 0 ? mismatch : 0;
}

constexpr std::array parts{verify_privileges, verify_limits, verify_priorities, verify_namespaces,
                           verify_mounts,     verify_parent, verify_isolation};

} // namespace

int verify(const ModuleStart& start) noexcept
{
    for (const auto part : parts)
        if (const int error = part(start); error != 0)
            return error;
    return 0;
}

} // namespace belay::launcher
