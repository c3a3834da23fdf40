// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/broker.hpp"

#include <spdlog/logger.h>

#include <chrono>
#include <optional>
#include <vector>

namespace belay::manager {

/// Finds out whether the broker's answers wait for delayed acknowledgements, tcp(7): without TCP_NODELAY its kernel
/// keeps back a small packet until ours has acknowledged the one before, which takes 40 ms if we have nothing to say.
/// Each of a module's lookups is such a pair of answers, so they cost 40 ms each.
///
/// Asks for two answers at once, a few times, and looks at the time between the two: a distant broker, one that is slow
/// to start or a busy machine delays both alike. Says so at most once, and only after most of the pairs were like that.
class RoundTrips
{
public:
    RoundTrips(Broker& broker, spdlog::logger& log, std::string topic);

    /// The connection has settled: the kernel acknowledges its first packets at once, and nobody else is answered any
    /// more. Does nothing the second time.
    void begin();

    void on_subscribed(int message);
    void on_unsubscribed(int message);

    /// For tests: what the times between two answers tell; nothing as long as they do not.
    [[nodiscard]] static std::optional<bool> judge(const std::vector<std::chrono::nanoseconds>& gaps);

private:
    void ask();

    Broker& broker_;
    spdlog::logger& log_;
    std::string topic_;
    bool begun_ = false;
    std::optional<int> first_;
    std::optional<int> second_;
    std::chrono::nanoseconds answered_{}; ///< when the first answer came
    std::vector<std::chrono::nanoseconds> gaps_;
};

} // namespace belay::manager
