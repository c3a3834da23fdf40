// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/descriptor.hpp"
#include "manager/event_loop.hpp"
#include "manager/log.hpp"

#include <spdlog/logger.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <sys/epoll.h>

namespace belay::manager {

/// What a datagram of sd_notify(3) means here; all else that it may say is nobody's business.
enum class Notice : std::uint8_t
{
    nothing,
    alive,   ///< WATCHDOG=1
    trigger, ///< WATCHDOG=trigger: the module itself says that it hangs
};
[[nodiscard]] Notice notice_of(std::string_view datagram);

/// Modules that have said in belay.yaml that they will say WATCHDOG=1, each on a socket of its own, and only its main
/// process is believed (SO_PASSCRED of unix(7)). From when a module is ready, or has said so for the first time, each
/// time must follow the one before within its limit.
class ModuleWatchdogs
{
public:
    using Sockets = std::map<std::uint32_t, FileDescriptor>; ///< by module
    using PidOf = std::function<pid_t(std::uint32_t module)>;
    using Hangs = std::function<void(std::uint32_t module, const std::string& why)>;

    ModuleWatchdogs(EventLoop& loop, const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                    Sockets&& sockets, spdlog::logger& log, PidOf pid_of, const Hangs& hangs);

    void begin(std::uint32_t module); ///< it is ready
    void end(std::uint32_t module);

private:
    struct Watched
    {
        Watched(FileDescriptor the_socket, std::chrono::milliseconds the_limit, EventLoop& loop,
                const std::function<void()>& hear, std::function<void()> expire)
            : socket(std::move(the_socket)),
              limit(the_limit),
              timer(loop, std::move(expire)),
              watch(loop, socket.get(), EPOLLIN, [hear](std::uint32_t) { hear(); })
        {}
        FileDescriptor socket;
        std::chrono::milliseconds limit;
        Timer timer;
        IoWatch watch;
    };

    void hear(std::uint32_t module);

    const launcher::LaunchPlan& plan_;
    spdlog::logger& log_;
    PidOf pid_of_;
    Hangs hangs_;
    RateLimit rate_limit_;
    std::map<std::uint32_t, Watched> watched_;
};

} // namespace belay::manager
