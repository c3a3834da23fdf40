// SPDX-License-Identifier: Apache-2.0
#include "launcher/raw_calls.hpp"
#include "launcher/stage_functions.hpp"
#include "launcher/status_channel.hpp"

#include <linux/seccomp.h>
#include <unistd.h>

namespace belay::launcher {

/// The last stage: what comes after it are the calls that allow_list() of seccomp_filter.hpp adds.
int filter_system_calls(const ModuleStart& start) noexcept
{
    const bool refuses = start.filter.len != 0;
    if (refuses && ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &start.filter) != 0)
        return errno;
    if (start.allowed.len == 0)
        return 0;
    const long listener =
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &start.allowed);
    return listener < 0 ? errno : send_listener(start.status, static_cast<int>(listener)); // it closes at exec
}

} // namespace belay::launcher
