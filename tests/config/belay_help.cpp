// SPDX-License-Identifier: Apache-2.0
#include "config/belay_help.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
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
