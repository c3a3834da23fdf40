// SPDX-License-Identifier: Apache-2.0
#include "launcher/complaint.hpp"

#include "launcher/descriptor.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace belay::launcher {

void prepare_complaints() noexcept
{
    if (::isatty(STDERR_FILENO) != 1)
        return; // with room for one byte, a pipe has room for a page
    // Opened anew: the flags of the inherited one are also the shell's.
    const FileDescriptor terminal{::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
    if (terminal)
        ::dup2(terminal.get(), STDERR_FILENO);
}

void complain(const char* format, ...) noexcept
{
    constexpr std::string_view prefix = "launcher: ";
    std::array<char, 512> text{};
    std::copy(prefix.begin(), prefix.end(), text.begin());
    const auto room = text.size() - prefix.size() - 1;
    va_list arguments;
    va_start(arguments, format);
    const int wanted = std::vsnprintf(text.data() + prefix.size(), room, format, arguments);
    va_end(arguments);
    auto size = prefix.size() + std::min(static_cast<std::size_t>(std::max(wanted, 0)), room - 1);
    text.at(size++) = '\n';
    pollfd writable{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT) != 0 &&
        ::write(STDERR_FILENO, text.data(), size) < 0)
        return; // nobody is left to tell
}

} // namespace belay::launcher
