// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <string>

namespace belay::config {

/// Fills in what keeps `process` apart: Landlock, system calls, mounts, devices, network. Its program, ids and
/// capabilities are already there. What cannot be is a diagnostic.
void plan_sandbox(const Configuration& configuration, const Module& module, const PlanOptions& options,
                  Diagnostics& diagnostics, launcher::ProcessPlan& process);

/// What the running kernel's Landlock lacks for a plan like this; empty if nothing.
std::string what_landlock_lacks(int abi, const launcher::LandlockPlan& plan);

} // namespace belay::config
