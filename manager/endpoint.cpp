// SPDX-License-Identifier: Apache-2.0
#include "manager/endpoint.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <arpa/inet.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

bool is_member(gid_t group)
{
    std::array<gid_t, 256> groups{};
    const int count = getgroups(static_cast<int>(groups.size()), groups.data());
    return getegid() == group ||
           std::find(groups.begin(), groups.begin() + std::max(count, 0), group) != groups.begin() + std::max(count, 0);
}

/// The first directory above the socket that cannot be searched; empty if each can.
std::string closed_directory(const std::string& path)
{
    for (auto slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1))
        if (auto directory = path.substr(0, slash); access(directory.c_str(), X_OK) != 0 && errno == EACCES)
            return directory;
    return {};
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

std::string explain_denied(const std::string& socket_path)
{
    const auto closed = closed_directory(socket_path);
    const auto& object = closed.empty() ? socket_path : closed;
    struct stat status
    {};
    if (stat(object.c_str(), &status) != 0)
        return object + " cannot be reached: " + std::strerror(errno);
    const auto user = user_name(geteuid());
    const auto group = group_name(status.st_gid);
    std::string text = (closed.empty() ? "" : "the directory ") + object + " has mode " + mode_text(status.st_mode) +
                       " and belongs to " + user_name(status.st_uid) + ":" + group +
                       ", and we and the modules are the user " + user + ", " +
                       (is_member(status.st_gid) ? "a" : "not a") + " member of that group; " +
                       "connecting needs write permission on the socket and search permission on the directories "
                       "above it. ";
    const mode_t group_bits = closed.empty() ? 0060U : 0010U;
    const bool closed_to_group = (status.st_mode & group_bits) != group_bits;
    if (closed_to_group)
        text += "Give the unit of Mosquitto `UMask=0007` (or the directory mode 0750) and restart it";
    if (status.st_gid == 0) // nobody should be added to the group root
        text += std::string{closed_to_group ? "; l" : "L"} + "et it belong to a group of the broker's own, such as " +
                "mosquitto, and add the user " + user + " to that";
    else if (!is_member(status.st_gid))
        text += std::string{closed_to_group ? "; a" : "A"} + "dd the user " + user + " to the group " + group +
                " (`usermod -aG " + group + " " + user + "`)";
    return text + ".";
}

} // namespace belay::manager
