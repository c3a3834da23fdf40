// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/system_calls.hpp"
#include "launcher/plan.hpp"

#include <catch2/catch.hpp>

/// Lets `plan` call what a strict list has for its capabilities, and `more`.
inline void allow_strictly(belay::launcher::ProcessPlan& plan, const std::vector<std::string>& more = {})
{
    auto entries = belay::config::strict_system_calls(plan.capabilities);
    entries.insert(entries.end(), more.begin(), more.end());
    const auto numbers = belay::config::resolve_system_calls(entries);
    REQUIRE(numbers);
    plan.system_call_policy = belay::launcher::SystemCallPolicy::allow_list;
    plan.system_calls = *numbers;
}
