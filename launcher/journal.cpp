// SPDX-License-Identifier: Apache-2.0
#include "launcher/journal.hpp"

#include "launcher/plain_text.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace belay::launcher {

namespace {

/// journald ends a stream whose first lines are longer than the name of a unit may be.
constexpr std::size_t longest_line = 200;

void add_line(std::string& header, std::string_view text)
{
    const auto begin = header.size();
    header += text.substr(0, longest_line);
    replace_controls(std::span{header}.subspan(begin), '?');
    header += '\n';
}

tl::expected<FileDescriptor, int> connect_to(const char* path, int type) noexcept
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(&address.sun_path[0], path, sizeof address.sun_path - 1);
    FileDescriptor result{::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!result || ::connect(result.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return tl::unexpected(errno);
    return result;
}

} // namespace

std::string journal_stream_header(std::string_view identifier, std::string_view unit)
{
    std::string result;
    add_line(result, identifier);
    add_line(result, unit);
    result += "6\n1\n0\n0\n0\n"; // priority, level prefix; to syslog, kmsg and console only what journald.conf says
    return result;
}

tl::expected<FileDescriptor, int> open_journal_stream(std::string_view header) noexcept
{
    auto stream = connect_to(journal_stream_socket, SOCK_STREAM);
    if (!stream)
        return stream;
    if (::shutdown(stream->get(), SHUT_RD) != 0 ||
        ::send(stream->get(), header.data(), header.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(header.size()))
        return tl::unexpected(errno);
    if (const int flags = ::fcntl(stream->get(), F_GETFL);
        flags < 0 || ::fcntl(stream->get(), F_SETFL, flags & ~O_NONBLOCK) != 0)
        return tl::unexpected(errno);
    return stream;
}

int send_to_journal(std::string_view entry) noexcept
{
    const auto socket = connect_to(journal_socket, SOCK_DGRAM);
    if (!socket)
        return socket.error();
    return ::send(socket->get(), entry.data(), entry.size(), MSG_NOSIGNAL) < 0 ? errno : 0;
}

} // namespace belay::launcher
