// SPDX-License-Identifier: Apache-2.0
#include "config/node.hpp"
#include "tests/config/prefix.hpp"

#include <catch2/catch.hpp>

using namespace belay::config;
using nlohmann::json;

namespace {

LoadOptions with_database(json modules)
{
    LoadOptions options;
    options.database = "/var/lib/everest.db";
    options.read_database = [modules = std::move(modules)](const Configuration& /*so_far*/) {
        return StoredModules{modules};
    };
    return options;
}

double level_of(const Configuration& configuration)
{
    return configuration.modules.at("a").config["configuration_parameters"]["!module"][0]["value"];
}

const std::string plain = "active_modules: {a: {module: Thing, config_module: {level: 2}, telemetry: {id: 5}}}\n";
const std::string dropped = "settings: {run_as_user: nobody}\n" + plain;

} // namespace

TEST_CASE("a database's values win over the file's and the overlay's")
{
    Prefix prefix;
    prefix.write("etc/everest/user-config/c.yaml", "active_modules: {a: {config_module: {level: 3}}}\n");
    const json stored{{"a", {{"module", "Thing"}, {"config_module", {{"level", 4}}}}}};
    for (const auto& text : {plain, dropped}) {
        const auto result = prefix.load(text, with_database(stored));
        INFO(prefix.text());
        REQUIRE(result);
        CHECK(result->from_database);
        CHECK(level_of(*result) == 4.0);
        CHECK(result->modules.at("a").config["telemetry_config"]["id"] == 5); // a database has no place for it
    }
    LoadOptions empty;
    empty.read_database = [](const Configuration& /*so_far*/) { return StoredModules{}; };
    const auto result = prefix.load(plain, empty);
    REQUIRE(result);
    CHECK_FALSE(result->from_database);
    CHECK(level_of(*result) == 3.0);
}

TEST_CASE("with run_as_user a database changes values only")
{
    const json module{{"module", "Thing"}, {"config_module", {{"level", 4}}}};
    const auto with = [&](const char* key, json value) {
        auto entry = module;
        entry[key] = std::move(value);
        return json{{"a", entry}};
    };
    Prefix prefix;
    for (const auto& stored :
         {with("module", "Other"), with("standalone", true), with("capabilities", json::array({"CAP_CHOWN"})),
          with("connections", {{"other", {{{"module_id", "a"}, {"implementation_id", "main"}}}}}),
          with("mapping", {{"module", {{"evse", 1}}}}), with("access", {{"config", {{"allow_global_read", true}}}}),
          json{{"a", module}, {"b", module}}, json::object()}) {
        INFO(stored.dump());
        CHECK_FALSE(prefix.load(dropped, with_database(stored)));
        CHECK_THAT(prefix.text(), Catch::Contains("/var/lib/everest.db: error: ") &&
                                      Catch::Contains("with run_as_user it may change parameter values only"));
    }
    CHECK(prefix.load(dropped, with_database(with("standalone", false)))); // as good as absent
}

TEST_CASE("what a database says is validated like the file")
{
    Prefix prefix;
    for (const auto& [level, text] : std::map<std::string, std::string>{
             {"0", "at least 1"}, {"\"x\"", "wants the type"}, {"99999999999", "are no modules"}, {"[1]", "error"}}) {
        const json stored{{"a", {{"module", "Thing"}, {"config_module", {{"level", json::parse(level)}}}}}};
        CHECK_FALSE(prefix.load(dropped, with_database(stored)));
        CHECK_THAT(prefix.text(), Catch::Contains(text));
    }
    CHECK_FALSE(prefix.load(plain, with_database(json::array())));
}

TEST_CASE("a large mapping of JSON is converted at once")
{
    json large;
    for (int number = 0; number < 100; ++number)
        large["key " + std::to_string(number)] = number;
    const auto node = from_json(large, Node{});
    CHECK(to_json(node) == large);
}
