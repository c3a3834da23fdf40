// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <string>
#include <vector>

namespace belay::manager {

/// The trust rule (launcher/trust.hpp) for every file that had a say in `plan`: the configuration's sources, the
/// launcher and the modules' programs, and what is in the directories of the modules that are started. One sentence for
/// each that breaks it.
std::vector<std::string> untrusted_files(const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                                         const std::string& launcher);

} // namespace belay::manager
