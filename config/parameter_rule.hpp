// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

namespace belay::config {

/// Why the manifest of `module` does not allow `value` for one of its parameters (`!module` is the implementation of
/// the module's own): "is less than the minimum …"; empty if it does. The type is not looked at.
std::string objection(const Configuration& configuration, const Module& module, const std::string& implementation,
                      const std::string& parameter, const nlohmann::json& value);

} // namespace belay::config
