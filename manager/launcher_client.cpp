// SPDX-License-Identifier: Apache-2.0
#include "manager/launcher_client.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/epoll.h>
#include <sys/socket.h>

namespace belay::manager {

namespace {

constexpr std::size_t most_descriptors = 2;

/// The packet as a struct, if it has its size.
template <typename Packet>
std::optional<Packet> as(std::string_view bytes)
{
    if (bytes.size() != sizeof(Packet))
        return std::nullopt;
    Packet packet;
    std::memcpy(&packet, bytes.data(), sizeof packet);
    return packet;
}

std::array<FileDescriptor, most_descriptors> take_descriptors(msghdr& message)
{
    std::array<FileDescriptor, most_descriptors> descriptors;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < std::min(count, most_descriptors); ++i) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof descriptor);
            descriptors.at(i) = FileDescriptor(descriptor);
        }
    }
    return descriptors;
}

} // namespace

LauncherClient::LauncherClient(EventLoop& loop, FileDescriptor control, LauncherListener& listener)
    : control_(std::move(control)),
      listener_(listener),
      watch_(std::in_place, loop, control_.get(), EPOLLIN, [this](std::uint32_t) { receive(); })
{}

template <typename Packet>
void LauncherClient::send(const Packet& packet)
{
    while (::send(control_.get(), &packet, sizeof packet, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

void LauncherClient::start(std::uint32_t module, std::uint32_t attempt)
{
    launcher::Start packet;
    packet.module = module;
    packet.attempt = attempt;
    send(packet);
}

void LauncherClient::signal(std::uint32_t module, int signal, launcher::Scope scope)
{
    launcher::Signal packet;
    packet.module = module;
    packet.signal = signal;
    packet.scope = scope;
    send(packet);
}

void LauncherClient::notify(launcher::Notification kind, std::string_view text)
{
    launcher::Notify packet;
    packet.kind = kind;
    std::ranges::copy(text.substr(0, packet.text.size() - 1), packet.text.begin());
    send(packet);
}

void LauncherClient::heartbeat(std::uint64_t sequence, bool healthy)
{
    launcher::Heartbeat packet;
    packet.sequence = sequence;
    packet.healthy = healthy ? 1 : 0;
    send(packet);
}

void LauncherClient::record(std::string_view text)
{
    launcher::Record packet;
    std::ranges::copy(text.substr(0, packet.text.size() - 1), packet.text.begin());
    send(packet);
}

void LauncherClient::finish(int exit_code, launcher::After after)
{
    launcher::Finish packet;
    packet.after = after;
    packet.exit_code = exit_code;
    send(packet);
}

void LauncherClient::receive()
{
    // One byte more than the largest packet, so that a larger one is not mistaken for it.
    std::array<char, launcher::largest_packet + 1> buffer{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * most_descriptors)> control{};
    iovec part{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();

    const ssize_t length = recvmsg(control_.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (length < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (length < 0)
        return lose(std::string{"reading from it failed: "} + std::strerror(errno));
    if (length == 0)
        return lose("it closed its end of the control socket");
    auto descriptors = take_descriptors(message);
    dispatch({buffer.data(), static_cast<std::size_t>(length)}, std::move(descriptors[0]), std::move(descriptors[1]));
}

void LauncherClient::lose(const std::string& why)
{
    watch_.reset();
    listener_.on_launcher_gone(why);
}

void LauncherClient::dispatch(std::string_view packet, FileDescriptor first, FileDescriptor second)
{
    auto opcode = launcher::Opcode::start;
    if (packet.size() >= sizeof opcode)
        std::memcpy(&opcode, packet.data(), sizeof opcode);
    if (const auto started = as<launcher::Started>(packet); started && opcode == launcher::Opcode::started)
        listener_.on_started(*started, std::move(first), std::move(second));
    else if (const auto failed = as<launcher::StartFailed>(packet); failed && opcode == launcher::Opcode::start_failed)
        listener_.on_start_failed(*failed);
    else if (const auto exited = as<launcher::Exited>(packet); exited && opcode == launcher::Opcode::exited)
        listener_.on_exited(*exited);
    else if (const auto signal = as<launcher::SignalReceived>(packet);
             signal && opcode == launcher::Opcode::signal_received)
        listener_.on_signal(signal->signal);
    else if (const auto state = as<launcher::WatchdogState>(packet); state && opcode == launcher::Opcode::watchdog)
        listener_.on_watchdog(*state);
    else
        lose("it sent a packet that is not in its protocol");
}

} // namespace belay::manager
