// SPDX-License-Identifier: Apache-2.0
#include "manager/module_watchdogs.hpp"

#include <array>
#include <cstring>
#include <fmt/format.h>
#include <tuple>
#include <utility>

#include <sys/socket.h>

namespace belay::manager {

namespace {

constexpr std::size_t largest_datagram = 4096;

struct Datagram
{
    std::string text; ///< empty: none, or too large
    pid_t sender = 0;
};

Datagram receive(int socket)
{
    std::array<char, largest_datagram> buffer{};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
    iovec part{buffer.data(), buffer.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    // What is sent along, descriptors among it, finds no room and is discarded by the kernel.
    const auto size = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const cmsghdr* header = size > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
    if (header == nullptr || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_CREDENTIALS ||
        (message.msg_flags & MSG_TRUNC) != 0)
        return {};
    ucred sender{};
    std::memcpy(&sender, CMSG_DATA(header), sizeof sender);
    return {std::string{buffer.data(), static_cast<std::size_t>(size)}, sender.pid};
}

} // namespace

Notice notice_of(std::string_view datagram)
{
    auto result = Notice::nothing;
    while (!datagram.empty()) {
        const auto line = datagram.substr(0, datagram.find('\n'));
        datagram.remove_prefix(std::min(line.size() + 1, datagram.size()));
        if (line == "WATCHDOG=trigger")
            return Notice::trigger;
        if (line == "WATCHDOG=1")
            result = Notice::alive;
    }
    return result;
}

ModuleWatchdogs::ModuleWatchdogs(EventLoop& loop, const config::Configuration& configuration,
                                 const launcher::LaunchPlan& plan, Sockets&& sockets, spdlog::logger& log, PidOf pid_of,
                                 const Hangs& hangs)
    : plan_(plan), log_(log), pid_of_(std::move(pid_of)), hangs_(hangs)
{
    for (auto& [module, socket] : sockets) {
        const auto limit = *configuration.modules.at(plan.modules[module].id).policy.liveness.watchdog;
        const auto expire = [hangs, number = module, limit] {
            hangs(number,
                  fmt::format("no WATCHDOG=1 from it for {:.1f} s", std::chrono::duration<double>{limit}.count()));
        };
        watched_.emplace(std::piecewise_construct, std::forward_as_tuple(module),
                         std::forward_as_tuple(
                             std::move(socket), limit, loop, [this, number = module] { hear(number); }, expire));
    }
}

void ModuleWatchdogs::begin(std::uint32_t module)
{
    if (const auto found = watched_.find(module); found != watched_.end())
        found->second.timer.arm(found->second.limit);
}

void ModuleWatchdogs::end(std::uint32_t module)
{
    if (const auto found = watched_.find(module); found != watched_.end())
        found->second.timer.disarm();
}

void ModuleWatchdogs::hear(std::uint32_t module)
{
    const auto [text, sender] = receive(watched_.at(module).socket.get());
    const auto notice = notice_of(text);
    if (notice == Notice::nothing)
        return;
    const auto& id = plan_.modules[module].id;
    if (sender == 0 || sender != pid_of_(module)) {
        if (rate_limit_.admit(id))
            log_.warn("{}: WATCHDOG= from pid {}, which is not its main process, is ignored", id, sender);
        return;
    }
    if (notice == Notice::alive)
        return begin(module);
    end(module);
    hangs_(module, "it says so itself (WATCHDOG=trigger)");
}

} // namespace belay::manager
