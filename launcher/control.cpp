// SPDX-License-Identifier: Apache-2.0
#include "launcher/control.hpp"

#include <cerrno>

#include <sys/socket.h>

namespace belay::launcher {

Received receive(int socket, Packet& packet) noexcept
{
    iovec part{packet.bytes.data(), packet.bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    ssize_t size = 0;
    do {
        size = ::recvmsg(socket, &message, MSG_DONTWAIT);
        // ECONNRESET comes once, of a peer that ended with packets unread; what it had sent is still there.
    } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    if (size < 0)
        return errno == EAGAIN ? Received::nothing : Received::closed;
    if (size == 0)
        return Received::closed;
    packet.size = static_cast<std::size_t>(size);
    // Without a buffer for them, descriptors are discarded by the kernel and leave this mark.
    return (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ? Received::broken : Received::packet;
}

bool send_packet(int socket, const void* data, std::size_t size, std::span<const int> descriptors) noexcept
{
    constexpr std::size_t most = 2;
    iovec part{const_cast<void*>(data), size}; // sendmsg(2) does not write to it
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(most * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!descriptors.empty() && descriptors.size() <= most) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
    }
    ssize_t sent = 0;
    do {
        sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == static_cast<ssize_t>(size);
}

} // namespace belay::launcher
