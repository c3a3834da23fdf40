// SPDX-License-Identifier: Apache-2.0
#include "launcher/status_channel.hpp"

#include "launcher/control.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>

namespace belay::launcher {

namespace {

/// The packet that carries a listener; a StageFailure is larger.
constexpr char here_is_the_listener = 'L';

} // namespace

tl::expected<StatusChannel, int> make_status_channel() noexcept
{
    std::array<int, 2> ends{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return tl::unexpected(errno);
    StatusChannel result{FileDescriptor{ends[0]}, FileDescriptor{ends[1]}};
    // Each end has flags of its own: the child's stays blocking.
    if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0)
        return tl::unexpected(errno);
    return result;
}

int send_listener(int status, int listener) noexcept
{
    return send(status, here_is_the_listener, std::span{&listener, 1}) ? 0 : errno;
}

Status receive_status(int status) noexcept
{
    Status result;
    iovec part{&result.failure, sizeof result.failure};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto size = ::recvmsg(status, &message, MSG_CMSG_CLOEXEC);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return result;
    if (size == 0) {
        result.kind = Status::Kind::executes;
        return result;
    }
    result.kind = Status::Kind::failed;
    if (size == sizeof here_is_the_listener) {
        const cmsghdr* header = CMSG_FIRSTHDR(&message);
        int listener = -1;
        if (header != nullptr)
            std::memcpy(&listener, CMSG_DATA(header), sizeof listener);
        result.listener = FileDescriptor{listener};
        result.failure = {StageId::system_call_filter, EMFILE};
        if (result.listener)
            result.kind = Status::Kind::listener;
    }
    return result;
}

} // namespace belay::launcher
