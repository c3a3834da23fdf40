// SPDX-License-Identifier: Apache-2.0
#include "launcher/service_manager.hpp"

#include "launcher/complaint.hpp"
#include "launcher/errno_text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <string_view>

namespace belay::launcher {

ServiceManager::ServiceManager(const char* path)
{
    const std::string_view name = path != nullptr ? path : "";
    // A leading '@' stands for the NUL of an abstract socket.
    if (name.empty() || (name[0] != '/' && name[0] != '@') || name.size() >= sizeof address_.sun_path)
        return;
    socket_ = FileDescriptor{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    address_.sun_family = AF_UNIX;
    std::memcpy(&address_.sun_path[0], name.data(), name.size());
    if (name[0] == '@')
        address_.sun_path[0] = '\0';
    address_size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
}

void ServiceManager::send(const char* message, std::size_t size) const noexcept
{
    if (!socket_)
        return;
    const auto* address = reinterpret_cast<const sockaddr*>(&address_);
    if (::sendto(socket_.get(), message, size, MSG_NOSIGNAL | MSG_DONTWAIT, address, address_size_) < 0)
        complain("could not notify systemd: %s", errno_text(errno));
}

void ServiceManager::notify(Notification kind, const char* text) const noexcept
{
    std::array<char, sizeof(Notify) + 64> message{};
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const long long microseconds = static_cast<long long>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1000;
    int size = 0;
    switch (kind) {
    case Notification::ready:
        size = std::snprintf(message.data(), message.size(), "READY=1");
        break;
    case Notification::reloading:
        size = std::snprintf(message.data(), message.size(), "RELOADING=1\nMONOTONIC_USEC=%lld", microseconds);
        break;
    case Notification::stopping:
        size = std::snprintf(message.data(), message.size(), "STOPPING=1");
        break;
    case Notification::status:
        size = std::snprintf(message.data(), message.size(), "STATUS=%s", text);
        std::replace_if(
            message.begin(), message.begin() + size, [](char c) { return c >= '\0' && c < ' '; }, ' ');
        break;
    }
    send(message.data(), static_cast<std::size_t>(size));
}

void ServiceManager::pet_watchdog() const noexcept
{
    constexpr std::string_view message = "WATCHDOG=1";
    send(message.data(), message.size());
}

} // namespace belay::launcher
