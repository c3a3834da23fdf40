// SPDX-License-Identifier: Apache-2.0
#include "manager/status_fifo.hpp"

#include "launcher/errno_text.hpp"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::manager {

/// Looked at before it is opened: whoever may write its directory could have put a link to a device there, and to open
/// /dev/watchdog is to start it.
tl::expected<StatusFifo, std::string> StatusFifo::open(const std::string& path, bool reloaded)
{
    if (path.empty())
        return StatusFifo{};
    const FileDescriptor found{::open(path.c_str(), O_PATH | O_CLOEXEC)};
    if (!found)
        return tl::unexpected("--status-fifo " + path + ": " + errno_text(errno) + "; create it with mkfifo");
    struct stat status
    {};
    if (::fstat(found.get(), &status) != 0 || !S_ISFIFO(status.st_mode))
        return tl::unexpected("--status-fifo " + path + ": is not a named pipe; create it with mkfifo");
    const auto same = "/proc/self/fd/" + std::to_string(found.get());
    FileDescriptor fifo{::open(same.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)};
    if (!fifo && errno == ENXIO && reloaded)
        return StatusFifo{};
    if (!fifo)
        return tl::unexpected("--status-fifo " + path + ": " +
                              (errno == ENXIO ? "nobody reads it; open it for reading first" : errno_text(errno)));
    return StatusFifo{std::move(fifo)};
}

tl::expected<void, int> StatusFifo::write(std::string_view line)
{
    if (!fifo_)
        return {};
    // At most PIPE_BUF bytes: written whole or not at all.
    const std::string text = std::string{line} + "\n";
    ssize_t written = -1;
    do
        written = ::write(fifo_.get(), text.data(), text.size());
    while (written < 0 && errno == EINTR);
    if (written == static_cast<ssize_t>(text.size()))
        return {};
    const int error = written < 0 ? errno : EIO;
    close();
    return tl::unexpected(error);
}

} // namespace belay::manager
