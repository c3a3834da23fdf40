// SPDX-License-Identifier: Apache-2.0
#include "manager/notify_sockets.hpp"

#include "launcher/errno_text.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace belay::manager {

namespace {

template <typename Value>
using Result = tl::expected<Value, std::string>;

tl::unexpected<std::string> failure(const std::string& path, int error)
{
    return tl::unexpected("could not make a notify socket for `liveness: {watchdog: ...}`: " + path + ": " +
                          errno_text(error));
}

/// systemd.exec(5) separates several by colons.
std::string runtime_directory(const std::map<std::string, std::string>& environment)
{
    const auto get = [&](const char* name) {
        const auto found = environment.find(name);
        return found == environment.end() ? std::string{} : found->second.substr(0, found->second.find(':'));
    };
    if (auto directory = get("RUNTIME_DIRECTORY"); !directory.empty())
        return directory;
    if (::geteuid() == 0)
        return "/run";
    const auto own = get("XDG_RUNTIME_DIR");
    return own.empty() ? "/tmp" : own;
}

Result<std::string> make_directory(const std::string& parent)
{
    auto path = parent + "/belay-XXXXXX";
    constexpr mode_t only_passed_through = 0711;
    if (::mkdtemp(path.data()) == nullptr || ::chmod(path.c_str(), only_passed_through) != 0)
        return failure(path, errno);
    return path;
}

Result<FileDescriptor> make_socket(const std::string& path, const launcher::ProcessPlan& module)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return failure(path, ENAMETOOLONG);
    std::memcpy(&address.sun_path[0], path.data(), path.size());
    FileDescriptor socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const int on = 1;
    constexpr mode_t only_its_user = 0600;
    if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::chmod(path.c_str(), only_its_user) != 0 ||
        (module.change_identity && ::chown(path.c_str(), module.uid, module.gid) != 0))
        return failure(path, errno);
    return socket;
}

} // namespace

Result<std::map<std::uint32_t, FileDescriptor>>
make_notify_sockets(const config::Configuration& configuration, const std::map<std::string, std::string>& environment,
                    launcher::LaunchPlan& plan)
{
    std::map<std::uint32_t, FileDescriptor> result;
    for (std::uint32_t number = 0; number < plan.modules.size(); ++number) {
        auto& module = plan.modules[number];
        const auto& limit = configuration.modules.at(module.id).policy.liveness.watchdog;
        if (!limit)
            continue;
        if (plan.notify_directory.empty()) {
            auto directory = make_directory(runtime_directory(environment));
            if (!directory)
                return tl::unexpected(directory.error());
            plan.notify_directory = std::move(*directory);
        }
        const auto path = plan.notify_directory + '/' + std::to_string(number);
        auto socket = make_socket(path, module);
        if (!socket)
            return tl::unexpected(socket.error());
        result.emplace(number, std::move(*socket));
        module.environment.push_back("NOTIFY_SOCKET=" + path);
        module.environment.push_back("WATCHDOG_USEC=" + std::to_string(std::chrono::microseconds{*limit}.count()));
        module.environment.push_back("WATCHDOG_PID="); // the launcher's child completes it
    }
    return result;
}

} // namespace belay::manager
