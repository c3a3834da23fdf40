// SPDX-License-Identifier: Apache-2.0
#include "config/control_group.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace belay::config {

namespace {

struct Name
{
    std::string_view file, key;
};

constexpr std::array names{Name{"memory.max", "MemoryMax"}, Name{"memory.high", "MemoryHigh"},
                           Name{"pids.max", "TasksMax"}, Name{"cpu.weight", "CPUWeight"}, Name{"cpu.max", "CPUQuota"}};

std::string key_of(const std::string& file)
{
    const auto* found = std::find_if(names.begin(), names.end(), [&](const Name& one) { return one.file == file; });
    return std::string{found != names.end() ? found->key : file};
}

/// Why a setting has no effect; empty if it has.
std::string obstacle(const PlanOptions& options, ControlGroup group, const std::string& file)
{
    const auto controller = file.substr(0, file.find('.'));
    if (group == ControlGroup::none)
        return "the manager has no control group of its own";
    if (options.delegation.directory.empty())
        return "no control group is delegated to Belay";
    if (!options.delegation.controllers.contains(controller))
        return "the controller `" + controller + "` is not in " + options.delegation.directory + "/cgroup.controllers";
    return {};
}

} // namespace

void settle_control_group(const PlanOptions& options, Diagnostics& diagnostics, ControlGroup group,
                          launcher::ProcessPlan& process)
{
    std::map<std::string, std::string> lost; // why → what
    std::vector<launcher::CgroupSetting> kept;
    for (const auto& setting : process.cgroup) {
        const auto why = obstacle(options, group, setting.file);
        if (why.empty())
            kept.push_back(setting);
        else
            lost[why] += (lost[why].empty() ? "`" : ", `") + key_of(setting.file) + '`';
    }
    for (const auto& [why, what] : lost)
        diagnostics.warning({}, what + " of `" + process.id + "` has no effect: " + why,
                            group == ControlGroup::none
                                ? "limit the service instead"
                                : "start it from a unit with Delegate=yes, with cgroup v2 and Linux "
                                  "5.14 or newer");
    process.cgroup = std::move(kept);
    const auto limits_memory = [](const launcher::CgroupSetting& one) { return one.file == "memory.max"; };
    if (std::any_of(process.cgroup.begin(), process.cgroup.end(), limits_memory))
        process.cgroup.push_back({"memory.oom.group", "1"}); // half a module is worse than none
}

} // namespace belay::config
