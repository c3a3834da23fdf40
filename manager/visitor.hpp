// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <optional>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <sys/types.h>

/// Who may reach a file, by the permission bits (path_resolution(7)).
namespace belay::manager {

/// Somebody who wants something of a file.
struct Visitor
{
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;
    bool past_permissions = false; ///< holds CAP_DAC_OVERRIDE
};

/// This process.
[[nodiscard]] Visitor ourselves();

/// Who a process of the plan will be.
[[nodiscard]] Visitor visitor_of(const launcher::ProcessPlan& process);

[[nodiscard]] bool is_member(const Visitor& visitor, gid_t group);

/// What is in somebody's way.
struct Obstacle
{
    std::string path;
    struct stat status;
};

/// The first directory of `path` that `visitor` may not search, or `path` itself if there is not what is `wanted` of it
/// (as for others: 4 to read, 2 to write, 1 to execute). Where an access control list (acl(5)) decides, nothing is.
[[nodiscard]] std::optional<Obstacle> obstacle(const std::string& path, const Visitor& visitor, mode_t wanted);

/// "has mode 0750 drwxr-x--- and belongs to root:everest".
[[nodiscard]] std::string describe(const Obstacle& obstacle);

[[nodiscard]] std::string user_name(uid_t uid);
[[nodiscard]] std::string group_name(gid_t gid);

} // namespace belay::manager
