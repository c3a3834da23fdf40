// SPDX-License-Identifier: Apache-2.0
#include "config/files.hpp"

#include "launcher/descriptor.hpp"
#include "launcher/errno_text.hpp"

#include <algorithm>
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

bool entry_exists(const std::filesystem::path& path)
{
    std::error_code error;
    return std::filesystem::symlink_status(path, error).type() != std::filesystem::file_type::not_found;
}

std::string closed_directory(const std::filesystem::path& path)
{
    std::filesystem::path way;
    for (const auto& part : path) {
        way /= part;
        std::error_code error;
        const auto status = std::filesystem::status(way, error);
        if (!std::filesystem::status_known(status) && error == std::errc::permission_denied) // a link may lead there
            return std::filesystem::is_symlink(way, error) ? way.string() : way.parent_path().string();
    }
    return {};
}

std::vector<std::string> stems(const std::filesystem::path& directory)
{
    std::vector<std::string> result;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error))
        if (entry.path().extension() == ".yaml")
            result.push_back(entry.path().stem().string());
    std::sort(result.begin(), result.end());
    return result;
}

tl::expected<std::string, std::string> read_file(const std::filesystem::path& path, Links links)
{
    const int no_follow = links == Links::refused ? O_NOFOLLOW : 0;
    const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | no_follow)};
    struct stat status
    {};
    if (!file || ::fstat(file.get(), &status) != 0) {
        const int error = errno;
        if (links == Links::refused && std::filesystem::is_symlink(path))
            return tl::unexpected(std::string{"is a symbolic link; put the file itself there"});
        return tl::unexpected(std::string{"cannot be read: "} + errno_text(error) + remedy(error));
    }
    if (S_ISDIR(status.st_mode))
        return tl::unexpected(std::string{"is a directory; a file is needed"});
    if (!S_ISREG(status.st_mode))
        return tl::unexpected(std::string{"is not a regular file; FIFOs, sockets and devices are not read"});
    if (links == Links::refused && status.st_nlink > 1)
        return tl::unexpected(std::string{"has more than one name (hard links); put a file of its own there"});
    const std::string too_large = "is larger than 16 MB; this cannot be meant as configuration";
    if (static_cast<std::size_t>(status.st_size) > largest_file)
        return tl::unexpected(too_large);
    // One byte more than it has: to see its end, or that it grows.
    std::string content(static_cast<std::size_t>(status.st_size) + 1, '\0');
    for (std::size_t size = 0;;) {
        const auto count = ::read(file.get(), content.data() + size, content.size() - size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return tl::unexpected(std::string{"cannot be read: "} + errno_text(errno));
        size += static_cast<std::size_t>(count);
        if (size > largest_file)
            return tl::unexpected(too_large);
        if (count == 0) {
            content.resize(size);
            return content;
        }
        if (size == content.size())
            content.resize(2 * size);
    }
}

} // namespace belay::config
