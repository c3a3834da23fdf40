// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <optional>
#include <string>
#include <vector>

/// Names of capabilities (capabilities(7)), by libcap.
namespace belay::config {

/// The number of a capability this kernel has; any case. Numbers and libcap's text forms ("cap_net_raw+ep") are
/// refused.
std::optional<int> capability_number(const std::string& name);

/// The name in capital letters.
std::string capability_name(int number);

/// suggest() for a name that capability_number() refuses; Docker and Kubernetes leave the CAP_ out.
std::string suggest_capability(const std::string& name);

/// Why holding the capability amounts to being root; empty if it does not.
std::string amounts_to_root(const std::string& name);

/// What a module of EVerest is known to need; nothing if nothing is known.
std::optional<launcher::CapabilityMask> known_needs(const std::string& module_name);

/// "CAP_A, CAP_B"; "nothing" for none.
std::string capability_list(launcher::CapabilityMask mask);

constexpr launcher::CapabilityMask bit(int capability)
{
    return launcher::CapabilityMask{1} << static_cast<unsigned>(capability);
}

} // namespace belay::config
