// SPDX-License-Identifier: Apache-2.0
#include "launcher/descriptor.hpp"
#include "launcher/raw_calls.hpp"
#include "launcher/stage_functions.hpp"

#include <cstring>

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr const char* loopback_device = "lo";

int loopback_flags(const FileDescriptor& socket, ifreq& request) noexcept
{
    request = {};
    std::memcpy(&request.ifr_name[0], loopback_device, std::strlen(loopback_device));
    return socket ? errno_of(::ioctl(socket.get(), SIOCGIFFLAGS, &request)) : errno;
}

int raise_loopback() noexcept
{
    const FileDescriptor socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq request;
    if (const int error = loopback_flags(socket, request); error != 0)
        return error;
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    return errno_of(::ioctl(socket.get(), SIOCSIFFLAGS, &request));
}

int verify_loopback() noexcept
{
    const FileDescriptor socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq request;
    if (const int error = loopback_flags(socket, request); error != 0)
        return error;
    return (request.ifr_flags & IFF_UP) != 0 ? 0 : mismatch;
}

/// It is another one than the launcher's.
int verify_own(const char* link, ino_t former) noexcept
{
    struct stat found
    {};
    if (::stat(link, &found) != 0)
        return errno;
    return found.st_ino != former ? 0 : mismatch;
}

} // namespace

int enter_namespaces(const ModuleStart& start) noexcept
{
    const int flags = (start.mounts.empty() ? 0 : CLONE_NEWNS) | (start.network == Network::host ? 0 : CLONE_NEWNET);
    if (flags == 0)
        return 0;
    if (::unshare(flags) != 0)
        return errno;
    return start.network == Network::loopback ? raise_loopback() : 0;
}

int verify_namespaces(const ModuleStart& start) noexcept
{
    if (!start.mounts.empty())
        if (const int error = verify_own("/proc/self/ns/mnt", start.former_mount_namespace); error != 0)
            return error;
    if (start.network != Network::host)
        if (const int error = verify_own("/proc/self/ns/net", start.former_network_namespace); error != 0)
            return error;
    return start.network == Network::loopback ? verify_loopback() : 0;
}

} // namespace belay::launcher
