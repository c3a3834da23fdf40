// SPDX-License-Identifier: Apache-2.0
#include "manager/restart.hpp"

#include <catch2/catch.hpp>

#include <csignal>

using namespace belay::manager;
using namespace std::chrono_literals;
using When = belay::config::RestartPolicy::When;

namespace {

constexpr int exit_status(int code)
{
    return code << 8; // wait(2)
}

belay::config::RestartPolicy policy_of(When when)
{
    belay::config::RestartPolicy policy;
    policy.policy = when;
    policy.delay = 1000ms;
    policy.max_delay = 5000ms;
    policy.stable_after = 60000ms;
    policy.burst = 5;
    return policy;
}

} // namespace

TEST_CASE("each restart waits twice as long, up to a limit, and only so often")
{
    const auto policy = policy_of(When::always);
    Backoff backoff{policy, [] { return 0.5; }};
    for (const auto expected : {1000ms, 2000ms, 4000ms, 5000ms, 5000ms})
        CHECK(backoff.next(1s) == expected);
    CHECK(backoff.attempts() == 5);
    CHECK_FALSE(backoff.next(1s));
}

TEST_CASE("a stable run is forgiven")
{
    const auto policy = policy_of(When::always);
    Backoff backoff{policy, [] { return 0.5; }};
    for (int i = 0; i < 5; ++i)
        backoff.next(1s);
    CHECK_FALSE(backoff.next(59s));
    CHECK(backoff.next(60s) == 1000ms);
    CHECK(backoff.next(1s) == 2000ms);
}

TEST_CASE("EVerest's crash recovery forgets nothing, and does not wait")
{
    const auto policy = belay::config::everest_recovery();
    Backoff backoff{policy, [] { return 0.9; }};
    for (int i = 0; i < 3; ++i)
        CHECK(backoff.next(24h * 365) == 0ms);
    CHECK_FALSE(backoff.next(24h * 365));
}

TEST_CASE("the delay varies by a tenth, in both directions")
{
    const auto policy = policy_of(When::always);
    CHECK(Backoff{policy, [] { return 0.0; }}.next(1s) == 900ms);
    const auto longest = Backoff{policy, [] { return 0.999999; }}.next(1s);
    CHECK(longest >= 1099ms);
    CHECK(longest <= 1100ms);
}

TEST_CASE("a burst of any size is counted, and its delay stays within the limit")
{
    auto policy = policy_of(When::always);
    policy.burst = 1000;
    Backoff backoff{policy, [] { return 0.5; }};
    for (int i = 0; i < 999; ++i)
        backoff.next(1s);
    CHECK(backoff.next(1s) == 5000ms);
}

TEST_CASE("a stable run is forgiven also when it ended because all were stopped")
{
    const auto policy = policy_of(When::always);
    Backoff backoff{policy, [] { return 0.5; }};
    for (int i = 0; i < 5; ++i)
        backoff.next(1s);
    backoff.stopped(59s);
    CHECK(backoff.attempts() == 5);
    backoff.stopped(60s);
    CHECK(backoff.next(1s) == 1000ms);
}

TEST_CASE("a policy for all judges as one for the module alone does")
{
    auto policy = policy_of(When::on_failure);
    policy.scope = belay::config::RestartPolicy::Scope::all;
    CHECK(judge(policy, SIGKILL) == Verdict::restart_all);
    CHECK(judge(policy, std::nullopt) == Verdict::restart_all);
    CHECK(judge(policy, exit_status(0)) == Verdict::stay_ended);
    policy.policy = When::always;
    CHECK(judge(policy, exit_status(0)) == Verdict::restart_all);
    policy.policy = When::never;
    CHECK(judge(policy, SIGKILL) == Verdict::stop_all);
}

TEST_CASE("a module that never ran or was not ready in time has failed, whatever its exit code")
{
    auto policy = policy_of(When::on_failure);
    CHECK(judge(policy, std::nullopt) == Verdict::restart);
    policy.policy = When::never;
    CHECK(judge(policy, std::nullopt) == Verdict::stop_all);
}

TEST_CASE("a policy judges how a module ended")
{
    auto policy = policy_of(When::never);
    CHECK(judge(policy, exit_status(0)) == Verdict::stop_all);
    CHECK(judge(policy, SIGSEGV) == Verdict::stop_all);
    policy = policy_of(When::on_failure);
    CHECK(judge(policy, exit_status(0)) == Verdict::stay_ended);
    CHECK(judge(policy, exit_status(3)) == Verdict::restart);
    CHECK(judge(policy, SIGKILL) == Verdict::restart);
    policy.success_exit_status.insert(3);
    CHECK(judge(policy, exit_status(3)) == Verdict::stay_ended);
    policy = policy_of(When::always);
    CHECK(judge(policy, exit_status(0)) == Verdict::restart);
}
