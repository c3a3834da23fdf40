// SPDX-License-Identifier: Apache-2.0
#include "launcher/service_manager.hpp"

#include "launcher/clock.hpp"
#include "launcher/complaint.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/plain_text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace belay::launcher {

namespace {

constexpr std::uint64_t ns_per_us = 1000;
constexpr std::uint64_t us_per_ms = 1000;

/// One datagram. What is too long for it is cut off.
class Message
{
public:
    Message& add(std::string_view text) noexcept
    {
        const auto size = std::min(text.size(), bytes_.size() - size_);
        std::copy_n(text.begin(), size, bytes_.begin() + static_cast<std::ptrdiff_t>(size_));
        size_ += size;
        return *this;
    }

    Message& add_plain(std::string_view text) noexcept
    {
        const auto size = std::min(text.size(), longest_text);
        const auto begin = size_;
        add(text.substr(0, size));
        replace_controls(std::span{bytes_}.subspan(begin, size_ - begin), ' ');
        return *this;
    }

    Message& add(std::uint64_t number) noexcept
    {
        std::array<char, longest_number> digits{};
        const auto* end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
        return add({digits.data(), static_cast<std::size_t>(end - digits.data())});
    }

    [[nodiscard]] std::string_view text() const noexcept { return {bytes_.data(), size_}; }

private:
    static constexpr std::size_t longest_text = 512;
    static constexpr std::size_t longest_number = 20;
    std::array<char, longest_text + 64> bytes_{};
    std::size_t size_ = 0;
};

} // namespace

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

void ServiceManager::send(std::string_view message) const noexcept
{
    if (!socket_)
        return;
    const auto* address = reinterpret_cast<const sockaddr*>(&address_);
    if (::sendto(socket_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT, address, address_size_) <
        0)
        complain("could not notify systemd: %s", errno_text(errno));
}

void ServiceManager::ready() const noexcept
{
    send("READY=1");
}

void ServiceManager::reloading() const noexcept
{
    send(Message{}.add("RELOADING=1\nMONOTONIC_USEC=").add(monotonic_ns() / ns_per_us).text());
}

void ServiceManager::stopping() const noexcept
{
    send("STOPPING=1");
}

void ServiceManager::extend(std::uint64_t more_ms) const noexcept
{
    send(Message{}.add("EXTEND_TIMEOUT_USEC=").add(more_ms * us_per_ms).text());
}

void ServiceManager::status(std::string_view text, std::uint64_t more_ms) const noexcept
{
    Message message;
    message.add("STATUS=").add_plain(text);
    if (more_ms != 0)
        message.add("\nEXTEND_TIMEOUT_USEC=").add(more_ms * us_per_ms);
    send(message.text());
}

void ServiceManager::pet_watchdog() const noexcept
{
    send("WATCHDOG=1");
}

} // namespace belay::launcher
