// SPDX-License-Identifier: Apache-2.0
//
// The one module of the example that needs a capability. Without it the charger still works, and says what is missing.

#include "examples/kit/everest_kit.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using everest_kit::Json;
using Clock = std::chrono::steady_clock;

constexpr std::uint16_t homeplug_av = 0x88e1; // ethertype

/// ISO 15118-3, CM_SLAC_PARM.REQ in a HomePlug AV management message, padded to the least that Ethernet carries.
struct ParameterRequest
{
    std::array<std::uint8_t, 6> destination{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    std::array<std::uint8_t, 6> source{};
    std::uint16_t ethertype = htons(homeplug_av);
    std::uint8_t version = 1;
    std::array<std::uint8_t, 2> type{0x64, 0x60}; // little endian
    std::array<std::uint8_t, 2> fragment{};
    std::uint8_t application = 0; // PEV-EVSE matching
    std::uint8_t security = 0;    // none
    std::array<std::uint8_t, 8> run_id{};
    std::array<std::uint8_t, 31> padding{};
};
static_assert(sizeof(ParameterRequest) == 60);

/// A packet socket that sees one ethertype on one device. Needs CAP_NET_RAW.
class RawSocket
{
public:
    explicit RawSocket(const std::string& device)
    {
        sockaddr_ll address{};
        address.sll_family = AF_PACKET;
        address.sll_protocol = htons(homeplug_av);
        address.sll_ifindex = static_cast<int>(::if_nametoindex(device.c_str()));
        file_ = address.sll_ifindex == 0 ? -1 : ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(homeplug_av));
        if (file_ < 0 || ::bind(file_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            error_ = errno;
    }
    ~RawSocket()
    {
        if (file_ >= 0)
            ::close(file_);
    }
    RawSocket(const RawSocket&) = delete;
    RawSocket& operator=(const RawSocket&) = delete;

    /// 0, or the errno why it could not be opened.
    [[nodiscard]] int error() const { return error_; }

    bool send(const ParameterRequest& frame) const
    {
        return ::send(file_, &frame, sizeof frame, 0) == static_cast<ssize_t>(sizeof frame);
    }

    /// True when a request with this run id arrives before the deadline. Others share the device: theirs are skipped.
    [[nodiscard]] bool wait_for(const std::array<std::uint8_t, 8>& run_id, Clock::time_point deadline) const
    {
        for (;;) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
            pollfd poll{file_, POLLIN, 0};
            if (left.count() <= 0 || ::poll(&poll, 1, static_cast<int>(left.count())) <= 0)
                return false;
            ParameterRequest frame;
            const auto length = ::recv(file_, &frame, sizeof frame, 0);
            if (length == static_cast<ssize_t>(sizeof frame) && frame.run_id == run_id)
                return true;
        }
    }

private:
    int file_ = -1;
    int error_ = 0;
};

class EvseSlac
{
public:
    explicit EvseSlac(everest_kit::Module& module)
        : module_(module),
          device_(module.config("device", "main")),
          timeout_(module.config("timeout_ms", "main").get<int>()),
          socket_(device_)
    {
        module.on_command("main", "match", [this](const Json&) { return match(); });
        module.on_command("main", "unmatch", [this](const Json&) { return set_matched(false), nullptr; });
        module.on_ready([this] { report(); });
    }

private:
    void report()
    {
        if (socket_.error() == 0)
            return everest_kit::Module::log("raw packet socket on " + device_ + ": open, I have CAP_NET_RAW");
        const std::string why = std::strerror(socket_.error());
        const auto* hint = socket_.error() == EPERM ? "; it takes CAP_NET_RAW" : "";
        everest_kit::Module::log("raw packet socket on " + device_ + ": " + why + hint);
        module_.raise_error("main", "slac/CommunicationFault", device_ + ": " + why);
    }

    bool match()
    {
        if (socket_.error() != 0)
            return false;
        ParameterRequest request;
        const auto begin = Clock::now();
        const bool matched = ::getrandom(request.run_id.data(), request.run_id.size(), 0) > 0 &&
                             socket_.send(request) && socket_.wait_for(request.run_id, begin + timeout_);
        const auto us = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
        everest_kit::Module::log("CM_SLAC_PARM.REQ on " + device_ +
                                 (matched ? ": answered after " + std::to_string(us) + " us" : ": no answer"));
        set_matched(matched);
        return matched;
    }

    void set_matched(bool matched) { module_.publish("main", "matched", matched); }

    everest_kit::Module& module_;
    std::string device_;
    std::chrono::milliseconds timeout_;
    RawSocket socket_;
};

} // namespace

int main(int argc, char** argv)
{
    return everest_kit::run<EvseSlac>(argc, argv);
}
