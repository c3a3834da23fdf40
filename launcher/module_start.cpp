// SPDX-License-Identifier: Apache-2.0
#include "launcher/module_start.hpp"

#include "launcher/stage_functions.hpp"

#include <algorithm>
#include <string_view>

#include <sys/stat.h>
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

/// Identifies a namespace; see namespaces(7). 0 if there is no /proc: then nothing is told apart from it.
ino_t namespace_id(const char* link)
{
    struct stat status
    {};
    return ::stat(link, &status) == 0 ? status.st_ino : 0;
}

constexpr std::size_t longest_pid = 10; // digits

sock_fprog program_of(std::vector<sock_filter>& instructions)
{
    return {static_cast<unsigned short>(instructions.size()), instructions.data()};
}

} // namespace

PreparedStart::PreparedStart(const ProcessPlan& plan, Filters& filters)
    : arguments_(pointers(plan.arguments)),
      environment_(pointers(plan.environment)),
      groups_(sorted(plan.groups)),
      scratch_(groups_.size() + 1),
      device_scratch_(plan.devices.size() + common_device_count())
{
    constexpr std::string_view name = "WATCHDOG_PID=";
    const auto entry = std::find_if(plan.environment.begin(), plan.environment.end(),
                                    [&](const std::string& one) { return one.starts_with(name); });
    if (entry != plan.environment.end()) {
        watchdog_pid_ = std::string{name} + std::string(longest_pid, '\0');
        environment_[static_cast<std::size_t>(entry - plan.environment.begin())] = watchdog_pid_.data();
        start_.own_pid = watchdog_pid_.data() + name.size();
    }
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
    start_.priorities = &plan.priorities;
    start_.network = plan.network;
    start_.mounts = plan.mounts;
    start_.devices = plan.devices;
    start_.device_scratch = device_scratch_;
    start_.former_mount_namespace = namespace_id("/proc/self/ns/mnt");
    start_.former_network_namespace = namespace_id("/proc/self/ns/net");
    start_.no_new_privileges = plan.no_new_privileges;
    start_.landlock = &plan.landlock;
    start_.landlock_ruleset = resolve(plan.landlock, landlock_abi());
    start_.filter = program_of(filters.refusing);
    start_.allowed = program_of(filters.allowing);
}

} // namespace belay::launcher
