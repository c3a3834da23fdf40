// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tl/expected.hpp>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include <sys/types.h>

/// Users and groups of this machine, by NSS.
namespace belay::config {

struct Identity
{
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups; ///< the primary one included
    std::string name, home, shell;
};

/// By name, or by number where there is no such name. The error is why there is none, empty if there is just none.
tl::expected<Identity, std::string> look_up_user(const std::string& name);

std::optional<gid_t> look_up_group(const std::string& name);

/// A user and group id that nobody has, of those systemd keeps for DynamicUser=; `owner`'s is always the same unless
/// somebody else came first. Adds it to `taken`. Nothing if all are taken.
std::optional<Identity> dynamic_user(const std::string& owner, std::set<uid_t>& taken);

} // namespace belay::config
