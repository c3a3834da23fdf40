// SPDX-License-Identifier: Apache-2.0
#include "launcher/control_files.hpp"

#include "launcher/clock.hpp"

#include <array>
#include <cerrno>
#include <charconv>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace belay::launcher {

int write_control(int directory, const char* file, std::string_view value) noexcept
{
    const FileDescriptor opened{::openat(directory, file, O_WRONLY | O_CLOEXEC)};
    if (!opened)
        return errno;
    const auto written = ::write(opened.get(), value.data(), value.size());
    if (written < 0)
        return errno;
    return static_cast<std::size_t>(written) == value.size() ? 0 : EIO;
}

std::uint64_t read_counter(int file, std::string_view key) noexcept
{
    std::array<char, 1024> buffer{};
    const auto size = ::pread(file, buffer.data(), buffer.size(), 0);
    std::string_view rest{buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
    while (!rest.empty()) {
        const auto line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
        if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ')
            continue;
        std::uint64_t value = 0;
        std::from_chars(line.data() + key.size() + 1, line.data() + line.size(), value);
        return value;
    }
    return 0;
}

bool is_populated(int events) noexcept
{
    return read_counter(events, "populated") != 0;
}

bool wait_until_empty(int events, int timeout_ms) noexcept
{
    const auto deadline = monotonic_ns() + static_cast<std::uint64_t>(timeout_ms) * ns_per_ms;
    while (is_populated(events)) {
        const auto now = monotonic_ns();
        if (now >= deadline)
            return false;
        pollfd entry{events, POLLPRI, 0};
        const timespec timeout = to_timespec(deadline - now);
        if (::ppoll(&entry, 1, &timeout, nullptr) < 0 && errno != EINTR)
            return false;
    }
    return true;
}

} // namespace belay::launcher
