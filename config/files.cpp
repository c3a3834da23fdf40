// SPDX-License-Identifier: Apache-2.0
#include "config/files.hpp"

#include "launcher/descriptor.hpp"
#include "launcher/errno_text.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::config {

namespace {

std::string remedy(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return "; check the path";
    case EACCES:
        return "; make it and the directories above it readable for the user that starts the manager";
    case ELOOP:
        return "; the symbolic links lead in a circle, replace one by the file";
    default:
        return {};
    }
}

} // namespace

tl::expected<std::string, std::string> read_file(const std::filesystem::path& path)
{
    const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)};
    struct stat status
    {};
    if (!file || ::fstat(file.get(), &status) != 0) {
        const int error = errno;
        return tl::unexpected(std::string{"cannot be read: "} + errno_text(error) + remedy(error));
    }
    if (S_ISDIR(status.st_mode))
        return tl::unexpected(std::string{"is a directory; a file is needed"});
    if (!S_ISREG(status.st_mode))
        return tl::unexpected(std::string{"is not a regular file; FIFOs, sockets and devices are not read"});
    const std::string too_large = "is larger than 16 MB; this cannot be meant as configuration";
    if (static_cast<std::size_t>(status.st_size) > largest_file)
        return tl::unexpected(too_large);
    std::string content;
    content.reserve(static_cast<std::size_t>(status.st_size));
    std::array<char, 65536> buffer{};
    for (;;) {
        const auto count = ::read(file.get(), buffer.data(), buffer.size());
        if (count == 0)
            return content;
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return tl::unexpected(std::string{"cannot be read: "} + errno_text(errno));
        content.append(buffer.data(), static_cast<std::size_t>(count));
        if (content.size() > largest_file)
            return tl::unexpected(too_large);
    }
}

} // namespace belay::config
