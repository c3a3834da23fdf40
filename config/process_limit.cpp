// SPDX-License-Identifier: Apache-2.0
#include "config/process_limit.hpp"

#include <algorithm>
#include <fstream>

#include <sys/resource.h>

namespace belay::config {

rlim_t usual_process_limit()
{
    constexpr rlim_t most_processes = 2048;
    rlim_t machine = 2 * most_processes;
    std::ifstream{"/proc/sys/kernel/threads-max"} >> machine;
    rlimit own{};
    if (::getrlimit(RLIMIT_NPROC, &own) != 0)
        own.rlim_max = most_processes;
    return std::min({most_processes, machine / 2, own.rlim_max});
}

void limit_processes(launcher::ProcessPlan& process, rlim_t limit)
{
    const auto is_said = [](const launcher::ResourceLimit& one) { return one.resource == RLIMIT_NPROC; };
    if (std::any_of(process.limits.begin(), process.limits.end(), is_said))
        return;
    process.limits.push_back({RLIMIT_NPROC, limit, limit});
}

} // namespace belay::config
