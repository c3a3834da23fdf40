// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/protocol.hpp"

#include <cstring>
#include <span>

/// One packet at a time over the socket to the manager (protocol.hpp). Allocates nothing.
namespace belay::launcher {

struct Packet
{
    std::array<std::byte, largest_packet + 1> bytes{}; ///< one more, to see that a packet is too long
    std::size_t size = 0;

    /// The caller has checked opcode and size.
    template <typename Message>
    [[nodiscard]] Message as() const noexcept
    {
        Message message;
        std::memcpy(&message, bytes.data(), sizeof message);
        return message;
    }
};

enum class Received
{
    packet,
    nothing, ///< for now
    closed,
    broken, ///< too long, or with descriptors
};

Received receive(int socket, Packet& packet) noexcept;

/// False if it could not be sent at once: the peer is gone, or has not read for hundreds of packets.
bool send_packet(int socket, const void* data, std::size_t size, std::span<const int> descriptors) noexcept;

template <typename Message>
bool send(int socket, const Message& message, std::span<const int> descriptors = {}) noexcept
{
    return send_packet(socket, &message, sizeof message, descriptors);
}

} // namespace belay::launcher
