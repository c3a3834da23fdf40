// SPDX-License-Identifier: Apache-2.0
#include "launcher/leftovers.hpp"

#include "launcher/children.hpp"
#include "launcher/clock.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include <sys/wait.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr std::size_t at_once = 256;

void wait_for_end(std::uint64_t timeout_ns) noexcept
{
    sigset_t end_of_child;
    ::sigemptyset(&end_of_child);
    ::sigaddset(&end_of_child, SIGCHLD);
    const timespec timeout = to_timespec(timeout_ns);
    ::sigtimedwait(&end_of_child, nullptr, &timeout); // the caller looks for ended children in any case
}

bool contains(std::span<const pid_t> pids, pid_t pid) noexcept
{
    return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

void kill_all(std::span<const pid_t> spared, std::span<pid_t> scratch, Reach reach) noexcept
{
    if (reach == Reach::everybody)
        ::kill(-1, SIGKILL); // whoever is spared is not within reach
    else
        kill_children(spared, scratch);
}

/// 0 if none has ended, -1 if there is none.
pid_t reap_one(std::span<pid_t> spared) noexcept
{
    const pid_t pid = ::waitpid(-1, nullptr, WNOHANG);
    std::replace(spared.begin(), spared.end(), pid, pid_t{0});
    return pid;
}

/// Where there is a child. The kernel's own list is not enough: somebody who ends meanwhile may hide another one.
bool only_spared_left(std::span<const pid_t> spared, std::span<pid_t> scratch) noexcept
{
    const auto children = scratch.first(list_children_by_search(scratch));
    return !children.empty() && children.size() < scratch.size() &&
           std::all_of(children.begin(), children.end(), [&](pid_t pid) { return contains(spared, pid); });
}

} // namespace

void kill_children(std::span<const pid_t> spared, std::span<pid_t> scratch) noexcept
{
    for (const pid_t pid : scratch.first(list_children(scratch)))
        if (!contains(spared, pid))
            ::kill(pid, SIGKILL); // a child: its pid is not reused before we reap it
}

bool kill_leftovers(std::span<pid_t> spared, int timeout_ms, Reach reach) noexcept
{
    const auto deadline = monotonic_ns() + static_cast<std::uint64_t>(timeout_ms) * ns_per_ms;
    std::array<pid_t, at_once> scratch{};
    for (;;) {
        kill_all(spared, scratch, reach);
        pid_t reaped = 0;
        for (std::size_t i = 0; i < at_once && (reaped = reap_one(spared)) > 0; ++i) {
        }
        if ((reaped < 0 && errno == ECHILD) || (reaped == 0 && !spared.empty() && only_spared_left(spared, scratch)))
            return true;
        const auto now = monotonic_ns();
        if (now >= deadline)
            return false;
        if (reaped == 0)
            wait_for_end(deadline - now);
    }
}

} // namespace belay::launcher
