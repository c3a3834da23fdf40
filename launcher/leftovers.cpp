// SPDX-License-Identifier: Apache-2.0
#include "launcher/leftovers.hpp"

#include "launcher/children.hpp"
#include "launcher/clock.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr std::size_t at_once = 256;

void wait_for_signal(int signal_descriptor, std::uint64_t timeout_ns) noexcept
{
    pollfd entry{signal_descriptor, POLLIN, 0};
    const timespec timeout = to_timespec(timeout_ns);
    signalfd_siginfo info{};
    if (::ppoll(&entry, 1, &timeout, nullptr) > 0 && ::read(signal_descriptor, &info, sizeof info) < 0)
        return; // somebody else's wake-up; the caller looks for ended children in any case
}

void kill_all(Reach reach) noexcept
{
    std::array<pid_t, at_once> scratch{};
    if (reach == Reach::everybody)
        ::kill(-1, SIGKILL);
    else
        kill_children({}, scratch);
}

} // namespace

void kill_children(std::span<const pid_t> spared, std::span<pid_t> scratch) noexcept
{
    for (const pid_t pid : scratch.first(list_children(scratch)))
        if (std::find(spared.begin(), spared.end(), pid) == spared.end())
            ::kill(pid, SIGKILL); // a child: its pid is not reused before we reap it
}

bool kill_leftovers(int signal_descriptor, int timeout_ms, Reach reach) noexcept
{
    const auto deadline = monotonic_ns() + static_cast<std::uint64_t>(timeout_ms) * ns_per_ms;
    for (;;) {
        kill_all(reach);
        pid_t reaped = 0;
        for (std::size_t i = 0; i < at_once && (reaped = ::waitpid(-1, nullptr, WNOHANG)) > 0; ++i) {
        }
        if (reaped < 0 && errno == ECHILD)
            return true;
        const auto now = monotonic_ns();
        if (now >= deadline)
            return false;
        if (reaped == 0)
            wait_for_signal(signal_descriptor, deadline - now);
    }
}

} // namespace belay::launcher
