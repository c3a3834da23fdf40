// SPDX-License-Identifier: Apache-2.0
#include "launcher/complaint.hpp"

#include "launcher/descriptor.hpp"
#include "launcher/journal.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <string_view>

#include <fcntl.h>
#include <poll.h>
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

void tell(const MessageType* type, int priority, Text& text) noexcept
{
    std::replace(text.begin(), text.end(), '\n', ' ');
    const bool journal = is_journal();
    if (journal && enter_into_journal(type, priority, text.data()))
        return;
    std::array<char, longest_text + 32> line{};
    const int size = journal ? std::snprintf(line.data(), line.size(), "<%d>launcher: %s\n", priority, text.data())
                             : std::snprintf(line.data(), line.size(), "launcher: %s\n", text.data());
    pollfd writable{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT) != 0 &&
        ::write(STDERR_FILENO, line.data(), static_cast<std::size_t>(size)) < 0)
        return; // nobody is left to tell
}

} // namespace

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
