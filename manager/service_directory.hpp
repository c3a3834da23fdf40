// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

namespace belay::manager {

/// The directory that systemd made for the service: RUNTIME_DIRECTORY, STATE_DIRECTORY, … of systemd.exec(5), of
/// several the first; empty: none.
[[nodiscard]] inline std::string service_directory(const std::map<std::string, std::string>& environment,
                                                   const char* name)
{
    const auto found = environment.find(name);
    return found == environment.end() ? std::string{} : found->second.substr(0, found->second.find(':'));
}

} // namespace belay::manager
