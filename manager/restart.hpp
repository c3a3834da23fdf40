// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <chrono>
#include <functional>
#include <optional>

namespace belay::manager {

/// When one module is started again after it ended by itself: exponential backoff with jitter that forgets after a
/// stable run, and a limit. Knows no clock.
class Backoff
{
public:
    using Duration = std::chrono::nanoseconds;

    /// `random`: uniform in [0, 1).
    Backoff(const config::RestartPolicy& policy, std::function<double()> random)
        : policy_(policy), random_(std::move(random))
    {}

    /// How long to wait after a run of this length; nothing if there were too many restarts without a stable run.
    std::optional<std::chrono::milliseconds> next(Duration ran);

    /// A run of this length ended because all were stopped: it may have been a stable one.
    void stopped(Duration ran);

    /// Restarts without a stable run until now.
    [[nodiscard]] unsigned attempts() const { return attempts_; }

private:
    const config::RestartPolicy& policy_;
    std::function<double()> random_;
    unsigned attempts_ = 0;
};

/// What the policy says of an end.
enum class Verdict
{
    stop_all,   ///< EVerest's rule
    stay_ended, ///< a success: the others run on
    restart,
    restart_all,
    exhausted, ///< too many restarts of all without a stable run: EVerest's rule from now on
};

/// `status` is wait(2)'s; nothing if it is a failure anyway: it never ran, or was not ready in time.
Verdict judge(const config::RestartPolicy& policy, std::optional<int> status);

} // namespace belay::manager
