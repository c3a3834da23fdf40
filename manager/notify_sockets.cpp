// SPDX-License-Identifier: Apache-2.0
#include "manager/notify_sockets.hpp"

#include "launcher/errno_text.hpp"
#include "launcher/notify_directory.hpp"
#include "manager/instance.hpp"
#include "manager/service_directory.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace belay::manager {

namespace {

namespace fs = std::filesystem;

template <typename Value>
using Result = tl::expected<Value, std::string>;

tl::unexpected<std::string> failure(const std::string& path, int error)
{
    return tl::unexpected("could not make a notify socket for `liveness: {watchdog: ...}`: " + path + ": " +
                          errno_text(error));
}

std::string runtime_directory(const std::map<std::string, std::string>& environment)
{
    if (auto directory = service_directory(environment, "RUNTIME_DIRECTORY"); !directory.empty())
        return directory;
    if (::geteuid() == 0)
        return "/run";
    const auto own = service_directory(environment, "XDG_RUNTIME_DIR");
    return own.empty() ? "/tmp" : own;
}

/// Makes files as another user, but still of root's group, without a capability for that.
class AsUser
{
public:
    explicit AsUser(const launcher::ProcessPlan& module) : umask_(::umask(only_its_user))
    {
        if (module.change_identity)
            ::setfsuid(module.uid);
    }
    AsUser(const AsUser&) = delete;
    AsUser& operator=(const AsUser&) = delete;
    AsUser(AsUser&&) = delete;
    AsUser& operator=(AsUser&&) = delete;
    ~AsUser()
    {
        ::setfsuid(::geteuid());
        ::umask(umask_);
    }

private:
    static constexpr mode_t only_its_user = 0177; ///< of a umask
    mode_t umask_;
};

/// One of this user's, with all that is in it, as far as that is no directory.
void remove_leftover(const std::string& path)
{
    const FileDescriptor directory{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    struct stat status
    {};
    if (!directory || ::fstat(directory.get(), &status) != 0 || status.st_uid != ::geteuid())
        return;
    std::error_code error;
    for (fs::directory_iterator entry{"/proc/self/fd/" + std::to_string(directory.get()), error}, end;
         !error && entry != end; entry.increment(error))
        ::unlinkat(directory.get(), entry->path().filename().c_str(), 0);
    ::rmdir(path.c_str()); // if it is still there, another name is found
}

/// A name that belongs to the claim, or one that nobody has; empty if there is none, with errno.
std::string make_new_directory(const std::string& parent, const std::string& own_name)
{
    if (!own_name.empty()) {
        auto own = parent + "/belay-" + own_name;
        remove_leftover(own);
        if (::mkdir(own.c_str(), S_IRWXU) == 0)
            return own;
    }
    auto path = parent + "/belay-XXXXXX";
    return ::mkdtemp(path.data()) == nullptr ? std::string{} : path;
}

/// Until close_directory() root's group can make files in it, of which whoever made it is while it is another user.
Result<std::string> make_directory(const std::string& parent, const std::string& own_name)
{
    constexpr mode_t open_to_group = 0730;
    const auto path = make_new_directory(parent, own_name);
    if (path.empty() || ::chmod(path.c_str(), open_to_group) != 0)
        return tl::unexpected(failure(parent + "/belay-*", errno).value() + "; " + parent +
                              " must be writable: a unit needs RuntimeDirectory=everest, and nothing that makes that "
                              "read-only");
    return path;
}

Result<void> close_directory(const std::string& path)
{
    constexpr mode_t only_passed_through = 0711;
    return ::chmod(path.c_str(), only_passed_through) == 0 ? Result<void>{} : failure(path, errno);
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
    const AsUser as_its_user{module};
    struct stat status
    {};
    if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::lstat(path.c_str(), &status) != 0)
        return failure(path, errno);
    if (status.st_uid != module.uid) // setfsuid(2) does not tell
        return failure(path, EPERM);
    return socket;
}

using Sockets = std::map<std::uint32_t, FileDescriptor>;

Result<Sockets> make_sockets(const config::Configuration& configuration,
                             const std::map<std::string, std::string>& environment, launcher::LaunchPlan& plan,
                             bool claimed)
{
    const auto own_name = claimed ? std::to_string(instance_number(configuration.settings.broker)) : std::string{};
    Sockets result;
    for (std::uint32_t number = 0; number < plan.modules.size(); ++number) {
        auto& module = plan.modules[number];
        const auto& limit = configuration.modules.at(module.id).policy.liveness.watchdog;
        if (!limit)
            continue;
        if (plan.notify_directory.empty()) {
            auto directory = make_directory(runtime_directory(environment), own_name);
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
    if (const auto closed = plan.notify_directory.empty() ? Result<void>{} : close_directory(plan.notify_directory);
        !closed)
        return tl::unexpected(closed.error());
    return result;
}

} // namespace

Result<Sockets> make_notify_sockets(const config::Configuration& configuration,
                                    const std::map<std::string, std::string>& environment, launcher::LaunchPlan& plan,
                                    bool claimed)
{
    auto result = make_sockets(configuration, environment, plan, claimed);
    if (!result) // there will be no launcher
        launcher::NotifyDirectory{plan}.remove();
    return result;
}

} // namespace belay::manager
