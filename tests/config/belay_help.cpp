// SPDX-License-Identifier: Apache-2.0
#include "config/belay_help.hpp"

#include "config/policy.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <sstream>
#include <string>
#include <string_view>

using namespace belay::config;

TEST_CASE("Every key of belay.yaml is explained, and nothing that is none")
{
    std::vector<std::string> explained;
    for (const auto& key : belay_yaml_help())
        explained.emplace_back(key.key);
    std::ranges::sort(explained);
    CHECK(explained == belay_yaml_keys());
}

TEST_CASE("The defaults of a restart policy are said as they are")
{
    const auto said = [](const std::string& key, double value) {
        std::ostringstream wanted;
        wanted << value << " unless given.";
        return std::ranges::any_of(belay_yaml_help(), [&](const KeyHelp& one) {
            return one.key == "modules.restart." + key &&
                   std::string_view{one.text}.find(' ' + wanted.str()) != std::string_view::npos;
        });
    };
    const RestartPolicy policy;
    constexpr double ms_per_s = 1000;
    CHECK(said("delay", static_cast<double>(policy.delay.count()) / ms_per_s));
    CHECK(said("max_delay", static_cast<double>(policy.max_delay.count()) / ms_per_s));
    CHECK(said("stable_after", static_cast<double>(policy.stable_after.count()) / ms_per_s));
    CHECK(said("burst", policy.burst));
}

TEST_CASE("Explanations are sentences below their mapping")
{
    std::string_view before;
    for (const auto& key : belay_yaml_help()) {
        INFO(key.key);
        const std::string_view name = key.key;
        CHECK(std::string_view{key.text}.ends_with('.'));
        const auto section = name.substr(0, name.find('.'));
        CHECK((name == section || before.substr(0, before.find('.')) == section));
        before = name;
    }
}
