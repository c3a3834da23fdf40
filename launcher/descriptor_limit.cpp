// SPDX-License-Identifier: Apache-2.0
#include "launcher/descriptor_limit.hpp"

#include "launcher/errno_text.hpp"

#include <algorithm>
#include <cerrno>

namespace belay::launcher {

namespace {

constexpr rlim_t common = 32;               // standard ones, manager, signals, watchdogs, what is open for a moment
constexpr rlim_t of_module = 5;             // program, pidfd, status channel, output, listener for denied calls
constexpr rlim_t of_module_with_cgroup = 9; // and the four of its control group

bool is_for_descriptors(const ResourceLimit& limit)
{
    return limit.resource == RLIMIT_NOFILE;
}

} // namespace

tl::expected<ResourceLimit, std::string> raise_descriptor_limit()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        const rlimit raised{limit.rlim_max, limit.rlim_max};
        if (::setrlimit(RLIMIT_NOFILE, &raised) == 0)
            return ResourceLimit{RLIMIT_NOFILE, limit.rlim_cur, limit.rlim_max};
    }
    return tl::unexpected(std::string{"could not raise RLIMIT_NOFILE: "} + errno_text(errno));
}

void hand_on(const ResourceLimit& limit, LaunchPlan& plan)
{
    for (auto& module : plan.modules)
        if (std::none_of(module.limits.begin(), module.limits.end(), is_for_descriptors))
            module.limits.push_back(limit);
}

tl::expected<void, std::string> check_descriptor_limit(const ResourceLimit& limit, const LaunchPlan& plan)
{
    const auto count = plan.modules.size();
    const auto needed = common + count * (plan.cgroup.empty() ? of_module : of_module_with_cgroup);
    if (needed <= limit.hard)
        return {};
    return tl::unexpected(std::to_string(count) + " modules take up to " + std::to_string(needed) +
                          " open files, and the hard limit is " + std::to_string(limit.hard) +
                          "; raise LimitNOFILE= of the unit, or `ulimit -Hn`");
}

} // namespace belay::launcher
