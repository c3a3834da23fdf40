// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"

#include <cstdint>
#include <string_view>

#include <sys/socket.h>
#include <sys/un.h>

namespace belay::launcher {

/// sd_notify(3) without its library: one datagram a message to $NOTIFY_SOCKET. Does nothing without one.
class ServiceManager
{
public:
    /// `path`: the value of NOTIFY_SOCKET, or null.
    explicit ServiceManager(const char* path);

    void ready() const noexcept;
    void reloading() const noexcept;
    void stopping() const noexcept;

    /// What is under way may take so much longer from now on, whatever the unit's Timeout*Sec= say.
    void extend(std::uint64_t more_ms) const noexcept;

    /// Control characters of the text become spaces: one line is one assignment. `more_ms`: as above, unless it is 0.
    void status(std::string_view text, std::uint64_t more_ms = 0) const noexcept;
    void pet_watchdog() const noexcept;

private:
    void send(std::string_view message) const noexcept;

    FileDescriptor socket_;
    sockaddr_un address_{};
    socklen_t address_size_ = 0;
};

} // namespace belay::launcher
