// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>

namespace belay::manager {

/// A terminal's Ctrl-C reaches us and the wrapper that forwards it: the same signal within 500 ms of the first is the
/// same one, not an impatient operator.
class Repeats
{
public:
    using Time = std::chrono::nanoseconds; ///< CLOCK_MONOTONIC

    [[nodiscard]] bool is_repeat(int signal, Time now)
    {
        constexpr std::chrono::milliseconds window{500};
        const auto [first, fresh] = first_.try_emplace(signal, now);
        if (!fresh && now - first->second < window)
            return true;
        first->second = now;
        return false;
    }

private:
    std::map<int, Time> first_;
};

} // namespace belay::manager
