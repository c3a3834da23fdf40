// SPDX-License-Identifier: Apache-2.0
#include "manager/instance.hpp"

#include "launcher/errno_text.hpp"
#include "manager/endpoint.hpp"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include <fcntl.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

constexpr const char* directory_of_root = "/run/everest"; // RuntimeDirectory= of the unit
constexpr const char* file_name = "instances";

std::string identity(const config::Broker& broker)
{
    std::string place;
    if (!broker.socket_path.empty()) {
        std::error_code error;
        const auto path = fs::weakly_canonical(broker.socket_path, error);
        place = error ? broker.socket_path : path.string();
    } else {
        struct stat network
        {};
        ::stat("/proc/self/ns/net", &network); // 0 if it cannot be told
        const bool local = ::strcasecmp(broker.host.c_str(), "localhost") == 0;
        place = std::to_string(network.st_ino) + ' ' + (local ? "127.0.0.1" : broker.host) + ' ' +
                std::to_string(broker.port);
    }
    return place + '\0' + broker.everest_prefix;
}

std::string directory_of(uid_t user)
{
    if (user == 0)
        return directory_of_root;
    const char* given = std::getenv("XDG_RUNTIME_DIR");
    return given != nullptr && *given == '/' ? std::string{given} + "/everest" : "/tmp/everest-" + std::to_string(user);
}

/// Nobody else may be able to lock the file, which takes no more than to read it, or to replace it.
std::string obstacle(int descriptor, mode_t type, mode_t forbidden)
{
    struct stat status
    {};
    if (::fstat(descriptor, &status) != 0)
        return errno_text(errno);
    if ((status.st_mode & S_IFMT) != type)
        return "it is something else";
    if (status.st_uid != ::geteuid() || (status.st_mode & forbidden) != 0)
        return "others can change it";
    return {};
}

tl::expected<FileDescriptor, std::string> open_file()
{
    const auto directory = directory_of(::geteuid());
    constexpr mode_t mode = 0755;
    const auto failed = [](const std::string& path, const std::string& why) {
        return tl::unexpected(path + ": " + why);
    };
    if (::mkdir(directory.c_str(), mode) != 0 && errno != EEXIST)
        return failed(directory, errno_text(errno));
    const FileDescriptor base{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!base)
        return failed(directory, errno_text(errno));
    if (const auto why = obstacle(base.get(), S_IFDIR, S_IWGRP | S_IWOTH); !why.empty())
        return failed(directory, why);
    const auto path = directory + '/' + file_name;
    FileDescriptor file{::openat(base.get(), file_name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, S_IRUSR | S_IWUSR)};
    if (!file)
        return failed(path, errno_text(errno));
    if (const auto why = obstacle(file.get(), S_IFREG, S_IRWXG | S_IRWXO); !why.empty())
        return failed(path, why);
    return file;
}

} // namespace

std::int64_t instance_number(const config::Broker& broker)
{
    constexpr std::uint64_t basis = 14695981039346656037U; // FNV-1a
    constexpr std::uint64_t prime = 1099511628211U;
    auto hash = basis;
    for (const char character : identity(broker))
        hash = (hash ^ static_cast<unsigned char>(character)) * prime;
    return static_cast<std::int64_t>(hash % std::numeric_limits<std::int64_t>::max());
}

tl::expected<Claim, std::string> claim_instance(const config::Broker& broker)
{
    auto file = open_file();
    if (!file)
        return Claim{FileDescriptor{}, file.error()};
    struct flock lock
    {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = instance_number(broker);
    lock.l_len = 1;
    if (::fcntl(file->get(), F_SETLK, &lock) == 0)
        return Claim{std::move(*file), {}};
    if (errno != EACCES && errno != EAGAIN)
        return Claim{FileDescriptor{}, std::string{"fcntl(F_SETLK): "} + errno_text(errno)};
    const bool known = ::fcntl(file->get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0;
    return tl::unexpected("another manager" + (known ? ", pid " + std::to_string(lock.l_pid) + "," : std::string{}) +
                          " serves the prefix `" + broker.everest_prefix + "` of the MQTT broker at " +
                          describe(broker) +
                          " already; stop that one, or give this one a prefix of its own (`mqtt_everest_prefix` in the "
                          "configuration, or the option of that name)");
}

} // namespace belay::manager
