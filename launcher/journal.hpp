// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"

#include <tl/expected.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

/// systemd-journald.service(8) without a library, and without waiting for it. Allocates nothing but where it returns a
/// string.
namespace belay::launcher {

constexpr const char* journal_socket = "/run/systemd/journal/socket";
constexpr const char* journal_stream_socket = "/run/systemd/journal/stdout";

/// Standard error is the journal's: JOURNAL_STREAM of systemd.exec(5).
inline bool is_journal() noexcept
{
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat status
    {};
    if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0)
        return false;
    std::array<char, 48> own{};
    std::snprintf(own.data(), own.size(), "%llu:%llu", static_cast<unsigned long long>(status.st_dev),
                  static_cast<unsigned long long>(status.st_ino));
    return std::strcmp(own.data(), stream) == 0;
}

/// What a stream begins with: the SYSLOG_IDENTIFIER of its lines, and the unit of those whose process is gone before
/// journald looks at it; empty: none. Lines are of priority `info` unless they begin with another one ("<3>").
[[nodiscard]] std::string journal_stream_header(std::string_view identifier, std::string_view unit);

/// A stream for the output of a process, as sd_journal_stream_fd(3). Its lines carry the ids of whoever writes them.
/// The error is an errno, EAGAIN if journald is too busy.
tl::expected<FileDescriptor, int> open_journal_stream(std::string_view header) noexcept;

/// One entry in journald's native protocol, "NAME=value\n" for each field. Returns an errno.
int send_to_journal(std::string_view entry) noexcept;

} // namespace belay::launcher
