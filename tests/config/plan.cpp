// SPDX-License-Identifier: Apache-2.0
#include "tests/config/prefix.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

#include <linux/capability.h>

using namespace belay;
using namespace belay::config;

namespace {

const std::string base = "active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n";

std::optional<launcher::LaunchPlan> plan_of(Prefix& prefix, const std::string& text, const PlanOptions& options)
{
    const auto configuration = prefix.load(text);
    INFO(prefix.text());
    REQUIRE(configuration);
    return make_plan(*configuration, options, prefix.diagnostics);
}

} // namespace

TEST_CASE("a script is planned by its interpreter and the environment is built from a list")
{
    Prefix prefix;
    PlanOptions options;
    options.environment = {{"PATH", "/usr/bin:/bin"}, {"EV_MODULE", "x"}, {"LD_PRELOAD", "x"}, {"NOTIFY_SOCKET", "x"}};
    const auto plan = plan_of(prefix, base, options);
    INFO(prefix.text());
    REQUIRE(plan);
    REQUIRE(plan->modules.size() == 1);
    const auto& module = plan->modules[0];
    CHECK(module.program == "/bin/sh");
    REQUIRE(module.arguments.size() > 4);
    CHECK(module.arguments[1] == "-e");
    CHECK(module.arguments[3] == "--prefix");
    CHECK(module.environment == std::vector<std::string>{"PATH=/usr/bin:/bin"});
    CHECK(module.privileges == launcher::Privileges::exact_without_setpcap);
    CHECK(plan->manager.id == "manager");
}

TEST_CASE("capabilities are granted exactly or refused")
{
    Prefix prefix;
    PlanOptions options;
    options.root = true;
    options.held = ~launcher::CapabilityMask{0};
    const auto plan = plan_of(prefix, base + "    capabilities: [cap_net_raw]\n", options);
    INFO(prefix.text());
    REQUIRE(plan);
    CHECK(plan->modules[0].capabilities == (launcher::CapabilityMask{1} << CAP_NET_RAW));
    CHECK(plan->modules[0].privileges == launcher::Privileges::exact);
    for (const auto* name : {"CAP_NET_RAV", "'13'", "cap_net_raw+ep", "''"}) {
        INFO(name);
        CHECK_FALSE(plan_of(prefix, base + "    capabilities: [" + name + "]\n", options));
        CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:5:"));
    }
    options.held = 0;
    CHECK_FALSE(plan_of(prefix, base + "    capabilities: [CAP_NET_RAW]\n", options));
}

TEST_CASE("run_as_user is resolved, an unknown user is an error")
{
    Prefix prefix;
    PlanOptions options;
    options.root = true;
    const auto plan = plan_of(prefix, "settings: {run_as_user: daemon}\n" + base, options);
    REQUIRE(plan);
    CHECK(plan->trust_rule);
    CHECK(plan->modules[0].change_identity);
    CHECK(plan->modules[0].uid != 0);
    CHECK(plan->manager.privileges == launcher::Privileges::exact);
    CHECK_FALSE(plan_of(prefix, "settings: {run_as_user: no-such-user}\n" + base, options));
    CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:1:"));
    options.root = false;
    CHECK_FALSE(plan_of(prefix, "settings: {run_as_user: daemon}\n" + base, options));
}
