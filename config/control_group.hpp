// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace belay::config {

enum class ControlGroup
{
    of_module,
    none, ///< the manager's, which is with the launcher
};

/// What cannot be set because no control group, or not that controller, is delegated to this process.
class ControlGroupLimits
{
public:
    explicit ControlGroupLimits(const launcher::Delegation& delegation) : delegation_(delegation) {}

    /// Takes it out of `process`. What is left will be set, or nothing starts.
    void settle(ControlGroup group, launcher::ProcessPlan& process);

    /// Says what was taken out: one warning for each reason, whomever it is about.
    void report(Diagnostics& diagnostics) const;

private:
    using Reason = std::pair<std::string, std::string>; ///< and the remedy
    [[nodiscard]] std::optional<Reason> obstacle(ControlGroup group, const std::string& file) const;

    const launcher::Delegation& delegation_;
    std::map<Reason, std::map<std::string, std::vector<std::string>>> lost_; ///< reason → keys → whose
};

} // namespace belay::config
