// SPDX-License-Identifier: Apache-2.0
#include "launcher/control.hpp"

#include "launcher/descriptor.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cstdint>

#include <sys/socket.h>

using namespace belay::launcher;
using belay::FileDescriptor;

TEST_CASE("the last words of a peer that ended without reading all are heard")
{
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
    const FileDescriptor ours{ends[0]};
    FileDescriptor theirs{ends[1]};
    constexpr std::uint32_t word = 7;
    REQUIRE(send_packet(theirs.get(), &word, sizeof word, {}));
    REQUIRE(send_packet(ours.get(), &word, sizeof word, {}));
    theirs.reset();
    Packet packet;
    CHECK(receive(ours.get(), packet) == Received::packet);
    CHECK(packet.size == sizeof word);
    CHECK(receive(ours.get(), packet) == Received::closed);
}
