// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/surroundings.hpp"

#include "launcher/io_priority.hpp"

#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace standin {

using nlohmann::json;

namespace {

json priorities()
{
    sched_param parameters{};
    ::sched_getparam(0, &parameters);
    auto cpus = json::array();
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (::sched_getaffinity(0, sizeof mask, &mask) == 0)
        for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu)
            if (CPU_ISSET(cpu, &mask))
                cpus.push_back(cpu);
    int oom = 0;
    std::ifstream{"/proc/self/oom_score_adj"} >> oom;
    return {{"nice", ::getpriority(PRIO_PROCESS, 0)},
            {"policy", ::sched_getscheduler(0)},
            {"priority", parameters.sched_priority},
            {"cpus", cpus},
            {"io", ::syscall(SYS_ioprio_get, belay::io_of_process, 0)},
            {"oom_score_adj", oom}};
}

/// Of proc_pid_mountinfo(5): mount point → "ro tmpfs". Where mounts lie upon each other, the last one is seen.
json mounts()
{
    json result;
    std::ifstream file{"/proc/self/mountinfo"};
    for (std::string line; std::getline(file, line);) {
        std::istringstream fields{line};
        std::string id;
        std::string parent;
        std::string device;
        std::string root;
        std::string point;
        std::string options;
        fields >> id >> parent >> device >> root >> point >> options;
        const auto dash = line.find(" - ");
        const auto type = line.substr(dash + 3, line.find(' ', dash + 3) - dash - 3);
        for (const auto* seen : {"/", "/dev", "/dev/shm", "/proc", "/tmp", "/var/tmp"})
            if (point == seen)
                result[point] = options.substr(0, 2) + ' ' + type;
    }
    return result;
}

json network()
{
    json result;
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    auto* const devices = ::if_nameindex();
    for (auto* device = devices; device != nullptr && device->if_index != 0; ++device) {
        ifreq request{};
        std::snprintf(&request.ifr_name[0], sizeof request.ifr_name, "%s", device->if_name);
        const bool known = ::ioctl(socket, SIOCGIFFLAGS, &request) == 0;
        result[device->if_name] = known && (request.ifr_flags & IFF_UP) != 0;
    }
    ::if_freenameindex(devices);
    ::close(socket);
    return result;
}

int opened(const char* path, int flags)
{
    constexpr mode_t mode = 0600;
    const int file = ::open(path, flags | O_CLOEXEC, mode);
    const int error = file < 0 ? errno : 0;
    ::close(file);
    return error;
}

int bound(std::uint16_t port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    constexpr int shared = 1; // with the same in a test beside this one; a filter that forbids it is no matter
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &shared, sizeof shared);
    const int result = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const int error = result < 0 ? errno : 0;
    ::close(socket);
    return error;
}

} // namespace

json surroundings()
{
    constexpr std::uint16_t port = 45735;
    int subreaper = 0;
    ::prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
    return {{"priorities", priorities()},
            {"mounts", mounts()},
            {"network", network()},
            {"subreaper", subreaper},
            {"reach",
             {{"read", opened("/etc/hostname", O_RDONLY)},
              {"write", opened("/tmp", O_WRONLY | O_TMPFILE)},
              {"device", opened("/dev/zero", O_RDWR)},
              {"bind", bound(port)},
              {"bind_another", bound(port + 1)}}}};
}

} // namespace standin
