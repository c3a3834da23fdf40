// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <tl/expected.hpp>

#include <string>

namespace belay::launcher {

/// The capabilities a launcher needs to carry out `plan`, of those in `held`: all, if a module keeps them.
CapabilityMask needed_capabilities(const LaunchPlan& plan, CapabilityMask held);

/// The capabilities without which a launcher that holds `held` could not start what is in `plan`: those that
/// identities, mounts and networks take.
CapabilityMask lacking_capabilities(const LaunchPlan& plan, CapabilityMask held);

/// Gives up what the plan cannot need: capabilities (the bounding set too), new privileges, system calls. Also becomes
/// undumpable and the subreaper of its descendants. The error is a sentence.
tl::expected<void, std::string> trim_own_privileges(const LaunchPlan& plan);

} // namespace belay::launcher
