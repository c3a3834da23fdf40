// SPDX-License-Identifier: Apache-2.0
#include "plans.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace belay::launcher;

namespace {

LaunchPlan example()
{
    auto plan = plan_with_everything();
    plan.stop_timeout_ms = 1234;
    return plan;
}

auto decode_text(const std::string& bytes)
{
    return decode(std::as_bytes(std::span{bytes}));
}

} // namespace

TEST_CASE("a plan survives encoding")
{
    const auto bytes = encode(example());
    const auto plan = decode_text(bytes);
    REQUIRE(plan);
    CHECK(encode(*plan) == bytes);
    REQUIRE(plan->modules.size() == 2);
    CHECK(plan->modules[0].arguments == std::vector<std::string>{"/usr/bin/env", "", "x y"});
    CHECK(plan->modules[0].groups == std::vector<gid_t>{1, 2, 3});
    CHECK(plan->modules[0].capabilities == 1U << 13U);
    CHECK(plan->modules[0].limits[0].hard == 128);
    CHECK(plan->trust_rule);
    CHECK(plan->stop_timeout_ms == 1234);
}

TEST_CASE("every truncation of a plan is refused")
{
    const auto bytes = encode(example());
    for (std::size_t size = 0; size < bytes.size(); ++size)
        CHECK_FALSE(decode_text(bytes.substr(0, size)));
}

TEST_CASE("a plan with something behind its end is refused")
{
    const auto plan = decode_text(encode(example()) + '\0');
    REQUIRE_FALSE(plan);
    CHECK(plan.error().find("something follows its end") != std::string::npos);
}

TEST_CASE("a damaged plan is refused or still a plan, never undefined")
{
    const auto bytes = encode(example());
    std::mt19937 random{42};
    for (int round = 0; round < 20000; ++round) {
        auto damaged = bytes;
        damaged[random() % damaged.size()] = static_cast<char>(random());
        if (const auto plan = decode_text(damaged))
            CHECK(encode(*plan) == damaged);
    }
}

TEST_CASE("what no configuration leads to is refused")
{
    const auto refused = [](auto change) {
        auto plan = example();
        change(plan);
        return !decode_text(encode(plan)).has_value();
    };
    CHECK(refused([](LaunchPlan& plan) { plan.modules[0].privileges = Privileges::kept; }));
    CHECK(refused([](LaunchPlan& plan) { plan.modules[1].capabilities = 1; }));
    CHECK(refused([](LaunchPlan& plan) { plan.modules[0].uid = 0; }));
    CHECK(refused([](LaunchPlan& plan) { plan.modules[0].program = "env"; }));
    CHECK(refused([](LaunchPlan& plan) { plan.modules[0].working_directory = ""; }));
    CHECK(refused([](LaunchPlan& plan) { plan.modules[0].arguments.clear(); }));
    CHECK(refused([](LaunchPlan& plan) { plan.modules[0].privileges = static_cast<Privileges>(3); }));
    CHECK(refused([](LaunchPlan& plan) { plan.modules[0].devices = {"/dev/tty/../../etc"}; }));
    CHECK(refused([](LaunchPlan& plan) { plan.modules[0].devices = {"/dev/.."}; }));
    CHECK(refused([](LaunchPlan& plan) { plan.modules[0].id = std::string("a\0b", 3); }));
}
