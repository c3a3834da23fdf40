// SPDX-License-Identifier: Apache-2.0
#include "launcher/leftovers.hpp"

#include "launcher/clock.hpp"
#include "launcher/descriptor.hpp"

#include <array>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

namespace belay::launcher {

namespace {

/// Sends SIGKILL to each pid of a text of decimal numbers and blanks.
class PidReader
{
public:
    void consume(char character) noexcept
    {
        if (character >= '0' && character <= '9') {
            pid_ = pid_ * 10 + (character - '0');
        } else if (pid_ > 0) {
            ::kill(pid_, SIGKILL); // a child: its pid is not reused before we reap it
            pid_ = 0;
        }
    }

private:
    pid_t pid_ = 0;
};

void kill_children() noexcept
{
    const FileDescriptor file{::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC)};
    std::array<char, 4096> buffer{};
    PidReader reader;
    ssize_t size = 0;
    while ((size = ::read(file.get(), buffer.data(), buffer.size())) > 0)
        for (ssize_t i = 0; i < size; ++i)
            reader.consume(buffer[static_cast<std::size_t>(i)]);
    reader.consume(' ');
}

void wait_for_signal(int signal_descriptor, std::uint64_t timeout_ns) noexcept
{
    pollfd entry{signal_descriptor, POLLIN, 0};
    const timespec timeout = to_timespec(timeout_ns);
    signalfd_siginfo info{};
    if (::ppoll(&entry, 1, &timeout, nullptr) > 0 && ::read(signal_descriptor, &info, sizeof info) < 0)
        return; // somebody else's wake-up; the caller looks for ended children in any case
}

} // namespace

bool kill_leftovers(int signal_descriptor, int timeout_ms) noexcept
{
    const auto deadline = monotonic_ns() + static_cast<std::uint64_t>(timeout_ms) * ns_per_ms;
    for (;;) {
        kill_children();
        pid_t reaped = 0;
        while ((reaped = ::waitpid(-1, nullptr, WNOHANG)) > 0) {
        }
        if (reaped < 0 && errno == ECHILD)
            return true;
        const auto now = monotonic_ns();
        if (now >= deadline)
            return false;
        wait_for_signal(signal_descriptor, deadline - now);
    }
}

} // namespace belay::launcher
