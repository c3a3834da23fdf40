// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

/// The five capability sets of the calling thread, by raw system calls: usable between fork and exec. Every function
/// that can fail returns an errno, 0 for success. See capabilities(7), capget(2), prctl(2).
namespace belay::launcher {

struct CapabilitySets
{
    CapabilityMask permitted = 0;
    CapabilityMask effective = 0;
    CapabilityMask inheritable = 0;
    CapabilityMask bounding = 0;
    CapabilityMask ambient = 0;

    bool operator==(const CapabilitySets&) const = default;
};

constexpr CapabilityMask capability(int number)
{
    return CapabilityMask{1} << static_cast<unsigned>(number);
}

/// All the running kernel knows. For judging a configuration; what is dropped and verified does not depend on it.
CapabilityMask all_capabilities() noexcept;

int read_capabilities(CapabilitySets& sets) noexcept;

/// capset(2): permitted, effective and inheritable.
int set_capabilities(CapabilityMask permitted, CapabilityMask effective, CapabilityMask inheritable) noexcept;

/// Drops all but `kept` from the bounding set. Needs CAP_SETPCAP.
int reduce_bounding_set(CapabilityMask kept) noexcept;

/// Clears the ambient set, then raises `raised`, which must be permitted and inheritable.
int set_ambient(CapabilityMask raised) noexcept;

} // namespace belay::launcher
