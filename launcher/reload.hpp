// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <vector>

#include <sys/types.h>

/// SIGHUP: the program that was started in the first place is executed again with the same pid, arguments and
/// environment, and reads the configuration anew. It holds what this process has kept of its privileges, and cannot
/// have more: a configuration that needs more takes a restart.
namespace belay::launcher {

/// Before anything is stopped, the same program judges the configuration in a child, while the modules run on.
/// Allocates nothing after construction.
class Reload
{
public:
    /// Must outlive this.
    explicit Reload(const Invocation& invocation);

    enum class Verdict
    {
        pending,
        good,
        refused, ///< and it was said why
    };

    /// Starts the judge. Is one at work already, another one follows it: who asks again has changed something.
    [[nodiscard]] Verdict judge() noexcept;

    /// 0: none is at work.
    [[nodiscard]] pid_t judge_pid() const noexcept { return judge_; }

    /// The judge ended with this wait(2) status and is reaped.
    [[nodiscard]] Verdict judged(int status) noexcept;

    /// Becomes the program. Returns only with an errno.
    [[nodiscard]] int execute() noexcept;

private:
    [[nodiscard]] std::vector<char*> arguments_with(const std::vector<const char*>& more) const;

    const Invocation& invocation_;
    std::vector<char*> environment_;
    std::vector<char*> judge_arguments_;
    std::vector<char*> arguments_;
    pid_t judge_ = 0;
    bool again_ = false;
};

} // namespace belay::launcher
