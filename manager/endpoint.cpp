// SPDX-License-Identifier: Apache-2.0
#include "manager/endpoint.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace belay::manager {

namespace {

constexpr mode_t write_and_read = 6;

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

std::string explain_denied(const std::string& socket_path, const Visitor& visitor)
{
    const auto found = obstacle(socket_path, visitor, write_and_read);
    if (!found)
        return {};
    const auto& [object, status] = *found;
    const bool directory = S_ISDIR(status.st_mode);
    const auto user = user_name(visitor.uid);
    const auto group = group_name(status.st_gid);
    const bool member = is_member(visitor, status.st_gid);
    std::string text = (directory ? "the directory " : "") + object + ' ' + describe(*found) + ", and the user " +
                       user + " is " + (member ? "a" : "not a") +
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
        const auto reason = explain_denied(socket_path, visitor_of(module));
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
