// SPDX-License-Identifier: Apache-2.0
#include "manager/status_fifo.hpp"

#include <cerrno>
#include <string>

#include <unistd.h>

namespace belay::manager {

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
