// SPDX-License-Identifier: Apache-2.0
//
// belay.yaml: `watchdog:` and `liveness:`.
#include "tests/config/prefix.hpp"

#include <catch2/catch.hpp>

using namespace belay;
using namespace belay::config;
using namespace std::chrono_literals;

namespace {

const std::string text = "active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n";

struct Loaded
{
    explicit Loaded(const std::string& belay_yaml) : configuration(load(belay_yaml)) {}

    const launcher::WatchdogPlan& watchdog() const
    {
        INFO(prefix.text());
        REQUIRE(configuration);
        return configuration->watchdog;
    }

    Prefix prefix;
    tl::expected<Configuration, Invalid> configuration;

private:
    tl::expected<Configuration, Invalid> load(const std::string& belay_yaml)
    {
        prefix.write("etc/everest/belay.yaml", belay_yaml);
        return prefix.load(text);
    }
};

} // namespace

TEST_CASE("without `watchdog` nothing is fed")
{
    CHECK_FALSE(Loaded{"modules: {}"}.watchdog().wanted);
}

TEST_CASE("`watchdog` leads to the plan")
{
    const Loaded loaded{"watchdog: {device: /dev/watchdog0, timeout: 60, pretimeout: 10, pretimeout_governor: panic,\n"
                        "           heartbeat: 2.5, require: false}"};
    const auto& watchdog = loaded.watchdog();
    CHECK(watchdog.wanted);
    CHECK(watchdog.device == "/dev/watchdog0");
    CHECK((watchdog.timeout_s == 60 && watchdog.pretimeout_s == 10 && watchdog.heartbeat_ms == 2500));
    CHECK(watchdog.pretimeout_governor == "panic");
    CHECK_FALSE(watchdog.require);
    PlanOptions options;
    Prefix prefix;
    auto diagnostics = Diagnostics{};
    const auto plan = make_plan(*loaded.configuration, options, diagnostics);
    REQUIRE(plan);
    CHECK(plan->watchdog.device == "/dev/watchdog0");
}

TEST_CASE("`watchdog` alone means heartbeats")
{
    const Loaded loaded{"watchdog: {}"};
    CHECK(loaded.watchdog().wanted);
    CHECK(loaded.watchdog().device.empty());
    CHECK(loaded.watchdog().timeout_s == 30);
}

TEST_CASE("each mistake in `watchdog` is named")
{
    const auto [yaml, message] = GENERATE(table<std::string, std::string>({
        {"watchdog: {device: watchdog0}", "`device` must be a path below /dev"},
        {"watchdog: {device: /dev/../etc/passwd}", "`device` must be a path below /dev"},
        {"watchdog: {timeout: 0}", "`timeout` must be a whole number from 1 to 86400"},
        {"watchdog: {timeout: 2.5}", "`timeout` must be a whole number from 1 to 86400"},
        {"watchdog: {device: /dev/watchdog0, timeout: 10, pretimeout: 10}",
         "`pretimeout` is not shorter than `timeout` (10)"},
        {"watchdog: {timeout: 10, heartbeat: 4}", "`heartbeat` is longer than a third of `timeout` (10)"},
        {"watchdog: {pretimeout: 10}", "`pretimeout` takes a device"},
        {"watchdog: {pretimeout_governor: [panic]}", "`pretimeout_governor` must be the name of one"},
        {"watchdog: {devise: /dev/watchdog0}", "unknown key `devise`"},
        {"watchdog: /dev/watchdog0", "`watchdog` must be a mapping"},
        {"modules: {a: {liveness: {watchdog: 0.01}}}", "`watchdog` must be seconds, from 0.1 to 86400"},
        {"modules: {a: {liveness: 5}}", "`liveness` must be a mapping"},
    }));
    const Loaded loaded{yaml};
    INFO(yaml);
    CHECK_FALSE(loaded.configuration);
    CHECK(loaded.prefix.text().find(message) != std::string::npos);
}

TEST_CASE("`liveness` of the most specific entry counts")
{
    const Loaded loaded{"modules: {'*': {liveness: {stuck_after: 5}}, a: {liveness: {watchdog: 10}}}"};
    loaded.watchdog();
    const auto& liveness = loaded.configuration->modules.at("a").policy.liveness;
    CHECK(liveness.stuck_after == 5s);
    CHECK(liveness.watchdog == 10s);
    const Loaded silent{"modules: {}"};
    silent.watchdog();
    CHECK(silent.configuration->modules.at("a").policy.liveness.stuck_after == 30s);
    CHECK_FALSE(silent.configuration->modules.at("a").policy.liveness.watchdog);
}
