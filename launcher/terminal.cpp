// SPDX-License-Identifier: Apache-2.0
#include "launcher/terminal.hpp"

#include "launcher/descriptor.hpp"

#include <csignal>
#include <utility>

#include <fcntl.h>

namespace belay::launcher {

namespace {

/// tty(4): ENXIO for a process that has none, or whose own has been hung up.
bool has_terminal() noexcept
{
    return static_cast<bool>(FileDescriptor{::open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)});
}

bool ignores_hangup() noexcept
{
    struct sigaction action
    {};
    return ::sigaction(SIGHUP, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

} // namespace

Terminal::Terminal() noexcept : open_(has_terminal()), may_close_(ignores_hangup()) {}

bool Terminal::closed(const signalfd_siginfo& hangup) noexcept
{
    if (open_ && !has_terminal()) {
        open_ = false;
        return true;
    }
    return hangup.ssi_code == SI_KERNEL;
}

} // namespace belay::launcher
