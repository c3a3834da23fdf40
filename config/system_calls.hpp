// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// System calls by name and by named group, as SystemCallFilter= of systemd.exec(5) has them. Names are libseccomp's;
/// the groups are those that `systemd-analyze syscall-filter` of Debian 12 prints, but for @known, and @sandbox.
namespace belay::config {

struct SystemCallGroup
{
    std::string_view name;    ///< with its @
    std::string_view members; ///< calls and groups, a blank between two
};

/// All of them (system_call_groups.cpp).
std::span<const SystemCallGroup> system_call_groups();

struct UnknownSystemCall
{
    std::size_t entry = 0;  ///< its place in the list
    std::string name;       ///< without the ~
    std::string suggestion; ///< suggest() of nearest.hpp; may be empty
};

/// The numbers of a list's calls on this machine, sorted. An entry is a call or a group; with a `~` in front it takes
/// away what the entries before it have added. A call that only other architectures have counts as known and has no
/// number.
tl::expected<std::vector<std::int32_t>, std::vector<UnknownSystemCall>>
resolve_system_calls(std::span<const std::string> entries);

/// The entries of `seccomp: strict` for a module that holds `capabilities`: what a program in C++, Python, JavaScript
/// or Rust takes to start, compute, and speak with files, devices, networks and its own processes, and what each of its
/// capabilities is for.
std::vector<std::string> strict_system_calls(launcher::CapabilityMask capabilities);

/// The call's name; empty if libseccomp does not know the number.
std::string system_call_name(std::int32_t number);

/// The groups that name the call themselves, the smallest first; @privileged and @system-service only if there is no
/// other. Empty if no group does.
std::vector<std::string> groups_of_system_call(std::string_view name);

} // namespace belay::config
