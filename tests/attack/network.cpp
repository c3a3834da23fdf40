// SPDX-License-Identifier: Apache-2.0
//
// Sockets: raw ones, low ports, other people's.

#include "tests/attack/attempt.hpp"

#include <array>
#include <cstddef>
#include <cstring>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace attack {

namespace {

Outcome packet_socket(const Context& /*unused*/)
{
    return judge(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
}

Outcome raw_socket(const Context& /*unused*/)
{
    return judge(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
}

Outcome low_port(const Context& /*unused*/)
{
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(443);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return judge(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}

/// As they are: for those who may, nothing changes.
Outcome interface_flags(const Context& /*unused*/)
{
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::memcpy(&request.ifr_name[0], "lo", 3);
    if (::ioctl(socket, SIOCGIFFLAGS, &request) != 0)
        return unjudged("no interface");
    return judge(::ioctl(socket, SIOCSIFFLAGS, &request));
}

Outcome debug_option(const Context& /*unused*/)
{
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int value = 7;
    return judge(::setsockopt(socket, SOL_SOCKET, SO_PRIORITY, &value, sizeof value));
}

Outcome listen_to_kernel(const Context& /*unused*/)
{
    const int socket = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
    if (socket < 0)
        return errno == EPROTONOSUPPORT ? refused(errno, "the kernel has none") : judge(socket);
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = 1;
    return judge(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}

sockaddr_un unix_address(const std::string& path, socklen_t& size)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(&address.sun_path[0], path.data(), path.size());
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    return address;
}

/// With the control message of `type`, if there is one.
template <typename Value>
long notify(const Context& context, int type, const Value* value)
{
    const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = 0;
    auto address = unix_address(context.text("notify_socket"), size);
    std::string text = "STATUS=owned\nMAINPID=1\nSTOPPING=1\nFDSTORE=1";
    iovec part{text.data(), text.size()};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(Value))> control{};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = size;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (value != nullptr) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        auto* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = type;
        header->cmsg_len = CMSG_LEN(sizeof *value);
        std::memcpy(CMSG_DATA(header), value, sizeof *value);
    }
    return ::sendmsg(socket, &message, MSG_NOSIGNAL);
}

/// systemd's socket takes it from anybody, and asks the kernel who it was.
Outcome notify_as_ourselves(const Context& context)
{
    return notify<ucred>(context, 0, nullptr) < 0 ? judge(-1) : Outcome{Verdict::outside, 0, "systemd sees who it is"};
}

/// For systemd to keep, and to give to the next start.
Outcome store_descriptor(const Context& context)
{
    const int own = STDOUT_FILENO;
    return notify(context, SCM_RIGHTS, &own) < 0 ? judge(-1) : Outcome{Verdict::outside, 0, "systemd sees who it is"};
}

Outcome notify_as_launcher(const Context& context)
{
    const ucred who{context.launcher, 0, 0};
    return judge(notify(context, SCM_CREDENTIALS, &who));
}

Outcome notify_as_launcher_by_pid(const Context& context)
{
    const ucred who{context.launcher, ::geteuid(), ::getegid()};
    return judge(notify(context, SCM_CREDENTIALS, &who));
}

Outcome abstract_socket(const Context& context)
{
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t size = 0;
    const auto address = unix_address(std::string(1, '\0') + context.text("abstract_socket"), size);
    return judge(::connect(socket, reinterpret_cast<const sockaddr*>(&address), size));
}

constexpr std::array table{
    Attempt{"network", "packet socket", "hear all packets", packet_socket},
    Attempt{"network", "raw IP socket", "forge packets", raw_socket},
    Attempt{"network", "bind to port 443", "pose as a service", low_port},
    Attempt{"network", "set an interface's flags", "change the network", interface_flags},
    Attempt{"network", "SO_PRIORITY 7", "go before all others", debug_option},
    Attempt{"network", "netlink: audit", "listen to the kernel", listen_to_kernel},
    Attempt{"network", "notify systemd as itself", "speak for the charger", notify_as_ourselves},
    Attempt{"network", "… with a descriptor to store", "reach the next start", store_descriptor},
    Attempt{"network", "… as the launcher", "speak for the charger", notify_as_launcher},
    Attempt{"network", "… with its pid only", "speak for the charger", notify_as_launcher_by_pid},
    Attempt{"network", "an abstract socket", "speak with other services", abstract_socket},
};

} // namespace

std::span<const Attempt> network()
{
    return table;
}

} // namespace attack
