// SPDX-License-Identifier: Apache-2.0
#include "launcher/complaint.hpp"

#include "launcher/journal.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <span>
#include <string_view>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr std::size_t longest_text = 500;

using Text = std::array<char, longest_text>;

bool enter_into_journal(const MessageType* type, int priority, const char* text) noexcept
{
    std::array<char, longest_text + 256> entry{};
    int size = std::snprintf(entry.data(), entry.size(), "PRIORITY=%d\nSYSLOG_IDENTIFIER=launcher\nMESSAGE=%s\n",
                             priority, text);
    if (type != nullptr)
        size += std::snprintf(entry.data() + size, entry.size() - static_cast<std::size_t>(size),
                              "MESSAGE_ID=%s\nEVEREST_EVENT=%s\n", type->id, type->name);
    return send_to_journal({entry.data(), static_cast<std::size_t>(size)}) == 0;
}

/// What standard error is. Modules share it: one that writes between a look at the room and a write takes that away.
int own_output = -1; ///< opened anew for this process, and non-blocking: a FIFO
bool is_socket = false;

ssize_t write_at_once(std::span<const char> text) noexcept
{
    if (is_socket)
        return ::send(STDERR_FILENO, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (own_output >= 0)
        return ::write(own_output, text.data(), text.size());
    pollfd writable{STDERR_FILENO, POLLOUT, 0};
    const bool has_room = ::poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT) != 0;
    return has_room ? ::write(STDERR_FILENO, text.data(), text.size()) : 0;
}

void tell(const MessageType* type, int priority, Text& text) noexcept
{
    std::replace(text.begin(), text.end(), '\n', ' ');
    const bool journal = is_journal();
    if (journal && enter_into_journal(type, priority, text.data()))
        return;
    std::array<char, longest_text + 32> line{};
    const int size = journal ? std::snprintf(line.data(), line.size(), "<%d>launcher: %s\n", priority, text.data())
                             : std::snprintf(line.data(), line.size(), "launcher: %s\n", text.data());
    write_at_once({line.data(), static_cast<std::size_t>(size)});
}

} // namespace

void prepare_complaints() noexcept
{
    struct stat status
    {};
    if (::fstat(STDERR_FILENO, &status) != 0)
        return;
    is_socket = S_ISSOCK(status.st_mode);
    const bool is_terminal = ::isatty(STDERR_FILENO) == 1;
    if (!is_terminal && !S_ISFIFO(status.st_mode))
        return;
    // Opened anew: the flags of the inherited one are also the shell's, or the modules'.
    const int opened = ::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (!is_terminal) {
        own_output = opened;
    } else if (opened >= 0) { // modules do not write there themselves
        ::dup2(opened, STDERR_FILENO);
        ::close(opened);
    }
}

void complain(const char* format, ...) noexcept
{
    Text text{};
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text.data(), text.size(), format, arguments);
    va_end(arguments);
    tell(nullptr, LOG_ERR, text);
}

void report(JournalMessage message, int priority, const char* format, ...) noexcept
{
    Text text{};
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text.data(), text.size(), format, arguments);
    va_end(arguments);
    tell(&type_of(message), priority, text);
}

} // namespace belay::launcher
