// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "launcher/module_start.hpp"
#include "launcher/plan.hpp"
#include "launcher/seccomp_filter.hpp"

#include <tl/expected.hpp>

#include <deque>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace belay::launcher {

/// Makes everything ready that the starts of a plan share or need: programs are opened, and judged where the trust rule
/// holds, and filters are built. Owns what the PreparedStarts refer to; the plan must outlive both.
class Preparation
{
public:
    /// `held`: the capabilities of this process; `null_device`: /dev/null; `manager`: who modules may not signal.
    Preparation(CapabilityMask held, int null_device, pid_t manager);

    /// Appends the start of `module`. The error is a sentence.
    tl::expected<void, std::string> prepare(const LaunchPlan& plan, const ProcessPlan& module,
                                            std::deque<PreparedStart>& starts);

private:
    using FilterKey = std::tuple<SystemCallPolicy, CapabilityMask, std::vector<std::int32_t>>;

    tl::expected<Filters*, std::string> filters_for(const ProcessPlan& module);

    CapabilityMask held_;
    int null_device_;
    pid_t manager_;
    std::map<FilterKey, Filters> filters_;
    std::vector<FileDescriptor> programs_;
};

} // namespace belay::launcher
