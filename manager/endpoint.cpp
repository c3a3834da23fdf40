// SPDX-License-Identifier: Apache-2.0
#include "manager/endpoint.hpp"

#include "launcher/capability_sets.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include <arpa/inet.h>
#include <grp.h>
#include <linux/capability.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace belay::manager {

namespace {

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

bool is_member(const Visitor& visitor, gid_t group)
{
    return visitor.gid == group || std::ranges::count(visitor.groups, group) != 0;
}

constexpr mode_t search = 1;
constexpr mode_t write_and_read = 6;

/// By the permission bits (path_resolution(7)); `wanted`: as for others.
bool permits(const struct stat& status, const Visitor& visitor, mode_t wanted)
{
    if (visitor.past_permissions)
        return true;
    const unsigned shift = visitor.uid == status.st_uid ? 6 : is_member(visitor, status.st_gid) ? 3 : 0;
    return ((status.st_mode >> shift) & wanted) == wanted;
}

/// What is in the way of connecting.
struct Obstacle
{
    std::string path;
    struct stat status;
};

std::optional<Obstacle> obstacle(const std::string& path, const Visitor& visitor)
{
    struct stat status
    {};
    const auto closed = [&](const std::string& object, mode_t wanted) {
        return ::stat(object.c_str(), &status) == 0 && !permits(status, visitor, wanted) &&
               ::getxattr(object.c_str(), "system.posix_acl_access", nullptr, 0) < 0;
    };
    for (auto slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
        if (closed(path.substr(0, slash), search))
            return Obstacle{path.substr(0, slash), status};
    if (closed(path, write_and_read))
        return Obstacle{path, status};
    return std::nullopt;
}

} // namespace

std::string describe(const config::Broker& broker)
{
    return broker.socket_path.empty() ? broker.host + ", TCP port " + std::to_string(broker.port)
                                      : "the Unix socket " + broker.socket_path;
}

tl::expected<std::vector<std::string>, std::string> resolve(const std::string& host)
{
    if (::strcasecmp(host.c_str(), "localhost") == 0)
        return std::vector<std::string>{"127.0.0.1", "::1"};
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int error = getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (error != 0)
        return tl::unexpected(std::string{error == EAI_SYSTEM ? std::strerror(errno) : gai_strerror(error)});
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, &freeaddrinfo);
    std::vector<std::string> addresses;
    for (const auto* entry = list; entry != nullptr; entry = entry->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) == 0)
            addresses.emplace_back(text.data());
    }
    if (addresses.empty())
        return tl::unexpected(std::string{"the name has no address"});
    return addresses;
}

Visitor ourselves()
{
    Visitor result{geteuid(), getegid(), {}, false};
    result.groups.resize(static_cast<std::size_t>(std::max(getgroups(0, nullptr), 0)));
    if (getgroups(static_cast<int>(result.groups.size()), result.groups.data()) < 0)
        result.groups.clear();
    return result;
}

std::string explain_denied(const std::string& socket_path, const Visitor& visitor)
{
    const auto found = obstacle(socket_path, visitor);
    if (!found)
        return {};
    const auto& [object, status] = *found;
    const bool directory = S_ISDIR(status.st_mode);
    const auto user = user_name(visitor.uid);
    const auto group = group_name(status.st_gid);
    const bool member = is_member(visitor, status.st_gid);
    std::string text = (directory ? "the directory " : "") + object + " has mode " + mode_text(status.st_mode) +
                       " and belongs to " + user_name(status.st_uid) + ":" + group + ", and the user " + user + " is " +
                       (member ? "a" : "not a") +
                       " member of that group; connecting needs write permission on the socket and search permission "
                       "on the directories above it. ";
    const mode_t group_bits = directory ? 0010U : 0060U;
    const bool closed_to_group = (status.st_mode & group_bits) != group_bits;
    if (closed_to_group)
        text += "Give the unit of Mosquitto `UMask=0007` (or the directory mode 0750) and restart it";
    if (status.st_gid == 0) // nobody should be added to the group root
        text += std::string{closed_to_group ? "; l" : "L"} + "et it belong to a group of the broker's own, such as " +
                "mosquitto, and add the user " + user + " to that";
    else if (!member)
        text += std::string{closed_to_group ? "; a" : "A"} + "dd the user " + user + " to the group " + group +
                " (`usermod -aG " + group + " " + user + "`)";
    return text + ".";
}

std::vector<std::string> denied_modules(const std::string& socket_path, const launcher::LaunchPlan& plan)
{
    std::map<std::string, std::string> modules_by_reason;
    for (const auto& module : plan.modules) {
        if (module.privileges == launcher::Privileges::kept)
            continue; // it is what the launcher is
        const bool override = (module.capabilities & launcher::capability(CAP_DAC_OVERRIDE)) != 0;
        const auto reason = explain_denied(socket_path, {module.uid, module.gid, module.groups, override});
        if (auto& modules = modules_by_reason[reason]; !reason.empty())
            modules += (modules.empty() ? "" : ", ") + module.id;
    }
    modules_by_reason.erase(std::string{});
    std::vector<std::string> result;
    for (const auto& [reason, modules] : modules_by_reason)
        result.push_back(modules + ": the broker will be out of reach: " + reason);
    return result;
}

} // namespace belay::manager
