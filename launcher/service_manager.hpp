// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "launcher/protocol.hpp"

#include <sys/socket.h>
#include <sys/un.h>

namespace belay::launcher {

/// sd_notify(3) without its library: one datagram a message to $NOTIFY_SOCKET. Does nothing without one.
class ServiceManager
{
public:
    /// `path`: the value of NOTIFY_SOCKET, or null.
    explicit ServiceManager(const char* path);

    /// Control characters of the text become spaces: one line is one assignment.
    void notify(Notification kind, const char* text) const noexcept;
    void pet_watchdog() const noexcept;

private:
    void send(const char* message, std::size_t size) const noexcept;

    FileDescriptor socket_;
    sockaddr_un address_{};
    socklen_t address_size_ = 0;
};

} // namespace belay::launcher
