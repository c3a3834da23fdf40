// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/signalfd.h>

namespace belay::launcher {

/// The controlling terminal (credentials(7)) that a developer starts a charger from, if there is one. When it is
/// closed, SIGHUP comes from the kernel, and from a shell to its jobs: then nobody asks for a reload.
class Terminal
{
public:
    Terminal() noexcept;

    /// Whether this SIGHUP is about it. A shell's counts once: whoever sends another one later means a reload.
    [[nodiscard]] bool closed(const signalfd_siginfo& hangup) noexcept;

    /// nohup(1) has started this: what the closing of the terminal is not to end.
    [[nodiscard]] bool may_close() const noexcept { return may_close_; }

private:
    bool open_;
    bool may_close_;
};

} // namespace belay::launcher
