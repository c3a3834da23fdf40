// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <tl/expected.hpp>

#include <string>

/// RLIMIT_NOFILE of setrlimit(2). The usual soft limit, 1024, is for programs that use select(2); the two halves do
/// not, and need some descriptors for each module.
namespace belay::launcher {

/// Raises the soft limit of this process to the hard one. Returns what both were; the error is a sentence.
tl::expected<ResourceLimit, std::string> raise_descriptor_limit();

/// Gives each module of `plan` that has no limit of its own `limit`.
void hand_on(const ResourceLimit& limit, LaunchPlan& plan);

/// Whether the launcher can have open what `plan` takes. The error is a sentence.
tl::expected<void, std::string> check_descriptor_limit(const ResourceLimit& limit, const LaunchPlan& plan);

} // namespace belay::launcher
