// SPDX-License-Identifier: Apache-2.0
#include "manager/visitor.hpp"

#include "launcher/capability_sets.hpp"

#include <algorithm>
#include <string_view>

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace belay::manager {

namespace {

constexpr mode_t search = 1;

std::string mode_text(mode_t mode)
{
    constexpr std::string_view letters = "rwxrwxrwx";
    constexpr std::string_view digits = "01234567";
    std::string text = "0";
    for (const unsigned shift : {6U, 3U, 0U})
        text.push_back(digits[(mode >> shift) & 7U]);
    text += S_ISSOCK(mode) ? " s" : S_ISDIR(mode) ? " d" : " -";
    for (unsigned bit = 0; bit < letters.size(); ++bit)
        text.push_back((mode & (0400U >> bit)) != 0 ? letters[bit] : '-');
    return text;
}

/// By the permission bits; `wanted`: as for others.
bool permits(const struct stat& status, const Visitor& visitor, mode_t wanted)
{
    if (visitor.past_permissions)
        return true;
    const unsigned shift = visitor.uid == status.st_uid ? 6 : is_member(visitor, status.st_gid) ? 3 : 0;
    return ((status.st_mode >> shift) & wanted) == wanted;
}

} // namespace

Visitor ourselves()
{
    Visitor result{geteuid(), getegid(), {}, false};
    result.groups.resize(static_cast<std::size_t>(std::max(getgroups(0, nullptr), 0)));
    if (getgroups(static_cast<int>(result.groups.size()), result.groups.data()) < 0)
        result.groups.clear();
    return result;
}

Visitor visitor_of(const launcher::ProcessPlan& process)
{
    const bool override = (process.capabilities & launcher::capability(CAP_DAC_OVERRIDE)) != 0;
    return {process.uid, process.gid, process.groups, override};
}

bool is_member(const Visitor& visitor, gid_t group)
{
    return visitor.gid == group || std::ranges::count(visitor.groups, group) != 0;
}

std::optional<Obstacle> obstacle(const std::string& path, const Visitor& visitor, mode_t wanted)
{
    struct stat status
    {};
    const auto closed = [&](const std::string& object, mode_t of_it) {
        return ::stat(object.c_str(), &status) == 0 && !permits(status, visitor, of_it) &&
               ::getxattr(object.c_str(), "system.posix_acl_access", nullptr, 0) < 0;
    };
    for (auto slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
        if (closed(path.substr(0, slash), search))
            return Obstacle{path.substr(0, slash), status};
    if (closed(path, wanted))
        return Obstacle{path, status};
    return std::nullopt;
}

std::string describe(const Obstacle& obstacle)
{
    const auto& status = obstacle.status;
    return "has mode " + mode_text(status.st_mode) + " and belongs to " + user_name(status.st_uid) + ':' +
           group_name(status.st_gid);
}

std::string user_name(uid_t uid)
{
    const auto* entry = getpwuid(uid);
    return entry != nullptr ? entry->pw_name : std::to_string(uid);
}

std::string group_name(gid_t gid)
{
    const auto* entry = getgrgid(gid);
    return entry != nullptr ? entry->gr_name : std::to_string(gid);
}

} // namespace belay::manager
