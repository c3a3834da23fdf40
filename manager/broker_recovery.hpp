// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/plan.hpp"
#include "manager/restarter.hpp"

#include <optional>

namespace belay::manager {

/// Whether a charger that has lost its broker comes back with it: as belay.yaml's `broker: recover` says; else with
/// `--recover-module-crashes`, or where that is what belay.yaml has for each module (`scope: all`). An outage is
/// nobody's crash: it does not count as one, and is forgotten when all modules are ready again.
class BrokerRecovery
{
public:
    /// `wanted`: `--recover-module-crashes`.
    BrokerRecovery(const config::Configuration& configuration, const launcher::LaunchPlan& plan, bool wanted);

    [[nodiscard]] bool enabled() const { return enabled_; }

    /// The broker is lost: the restart of all, once it is back; nothing after three without all modules being ready.
    std::optional<Restarter::Decision> next();

    void forget() { attempts_ = 0; }

private:
    bool enabled_;
    unsigned attempts_ = 0;
};

} // namespace belay::manager
