// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plans.hpp"

#include <catch2/catch.hpp>

#include <filesystem>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/// Processes that do not want to end with who started them, and how to see that they did.
namespace belay::launcher {

/// A daemon by the book: two forks, a session of its own, no descriptor left. It says its pid in `stray`, and the
/// module goes on when that is there.
constexpr const char* leave_a_daemon = "(setsid sh -c 'sh -c \"echo \\$\\$ >stray.new; mv stray.new stray; "
                                       "exec sleep 60 <&- >&- 2>&-\" &' &) ; until [ -s stray ]; do :; done; ";

/// Nobody else is this user, and it has few processes at most.
inline ProcessPlan bounded(std::vector<std::string> arguments)
{
    constexpr rlim_t most = 64;
    auto plan = unprivileged(std::move(arguments));
    plan.uid = 1'000'000 + static_cast<uid_t>(::getpid());
    plan.limits = {{RLIMIT_NPROC, most, most}};
    return plan;
}

inline std::size_t processes_of(uid_t uid)
{
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
        struct stat status
        {};
        const bool number = entry.path().filename().string().find_first_not_of("0123456789") == std::string::npos;
        if (number && ::stat(entry.path().c_str(), &status) == 0 && status.st_uid == uid)
            ++count;
    }
    return count;
}

/// Whether `condition` holds within `limit_ms`.
template <typename Condition>
bool comes_true(Condition condition, int limit_ms = 10000)
{
    for (; limit_ms > 0; limit_ms -= 10) {
        if (condition())
            return true;
        ::usleep(10000);
    }
    return condition();
}

/// Until processes come and go.
inline void await_chains(uid_t uid)
{
    REQUIRE(comes_true([&] { return processes_of(uid) > 1; }));
}

} // namespace belay::launcher
