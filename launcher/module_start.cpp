// SPDX-License-Identifier: Apache-2.0
#include "launcher/module_start.hpp"

#include <algorithm>

#include <unistd.h>

namespace belay::launcher {

namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts)
{
    std::vector<char*> result;
    result.reserve(texts.size() + 1);
    for (const auto& text : texts)
        result.push_back(const_cast<char*>(text.c_str())); // execveat(2) takes them so and changes nothing
    result.push_back(nullptr);
    return result;
}

/// As getgroups(2) reports them.
std::vector<gid_t> sorted(std::vector<gid_t> groups)
{
    std::sort(groups.begin(), groups.end());
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    return groups;
}

} // namespace

PreparedStart::PreparedStart(const ProcessPlan& plan, std::span<sock_filter> filter)
    : arguments_(pointers(plan.arguments)),
      environment_(pointers(plan.environment)),
      groups_(sorted(plan.groups)),
      scratch_(groups_.size() + 1)
{
    start_.arguments = arguments_.data();
    start_.environment = environment_.data();
    start_.working_directory = plan.working_directory.c_str();
    start_.change_identity = plan.change_identity;
    start_.uid = plan.uid;
    start_.gid = plan.gid;
    start_.groups = groups_;
    start_.groups_scratch = scratch_;
    start_.former_uid = ::geteuid();
    start_.former_gid = ::getegid();
    start_.privileges = plan.privileges;
    start_.capabilities = plan.capabilities;
    start_.umask = plan.umask;
    start_.limits = plan.limits;
    start_.filter = {static_cast<unsigned short>(filter.size()), filter.data()};
}

} // namespace belay::launcher
