// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"

#include <cstdint>
#include <string_view>

/// The files of a control group, by the descriptor of its directory. Nothing here allocates. See cgroups(7).
namespace belay::launcher {

/// Writes `value` in one call. Returns an errno.
int write_control(int directory, const char* file, std::string_view value) noexcept;

/// The number after `key` in a file of lines such as "oom_kill 3". 0 if there is none.
std::uint64_t read_counter(int file, std::string_view key) noexcept;

/// Whether a process of the group or of one below it is left, by its cgroup.events.
bool is_populated(int events) noexcept;

/// Until no process is left, or `timeout_ms` have passed. True if none is left.
bool wait_until_empty(int events, int timeout_ms) noexcept;

} // namespace belay::launcher
