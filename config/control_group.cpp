// SPDX-License-Identifier: Apache-2.0
#include "config/control_group.hpp"

#include "config/quoted_list.hpp"

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

} // namespace

std::optional<ControlGroupLimits::Reason> ControlGroupLimits::obstacle(ControlGroup group,
                                                                       const std::string& file) const
{
    const auto controller = file.substr(0, file.find('.'));
    if (group == ControlGroup::none)
        return Reason{"the manager has no control group of its own", "limit the service instead"};
    if (delegation_.directory.empty())
        return Reason{"no control group is delegated to Belay",
                      "start it from a unit with Delegate=yes, with cgroup v2 and Linux 5.14 or newer"};
    if (!delegation_.controllers.contains(controller))
        return Reason{"the controller `" + controller + "` is not in " + delegation_.directory + "/cgroup.controllers",
                      "the unit needs Delegate=yes, and the kernel the controller in cgroup v2, not in v1 (memory, on "
                      "some boards: cgroup_enable=memory on its command line)"};
    return std::nullopt;
}

void ControlGroupLimits::settle(ControlGroup group, launcher::ProcessPlan& process)
{
    std::map<Reason, std::vector<std::string>> lost;
    std::vector<launcher::CgroupSetting> kept;
    for (const auto& setting : process.cgroup) {
        if (auto reason = obstacle(group, setting.file))
            lost[std::move(*reason)].push_back(key_of(setting.file));
        else
            kept.push_back(setting);
    }
    for (const auto& [reason, keys] : lost)
        lost_[reason][quoted_list(keys)].push_back(process.id);
    process.cgroup = std::move(kept);
    const auto limits_memory = [](const launcher::CgroupSetting& one) { return one.file == "memory.max"; };
    if (std::any_of(process.cgroup.begin(), process.cgroup.end(), limits_memory))
        process.cgroup.push_back({"memory.oom.group", "1"}); // half a module is worse than none
}

void ControlGroupLimits::report(Diagnostics& diagnostics) const
{
    for (const auto& [reason, settings] : lost_) {
        const auto& [why, remedy] = reason;
        std::string what;
        for (const auto& [keys, whose] : settings)
            what += (what.empty() ? "" : ", ") + keys + " of " + quoted_list(whose);
        diagnostics.warning({}, "without effect: " + what + ": " + why, remedy);
    }
}

} // namespace belay::config
