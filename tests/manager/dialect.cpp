// SPDX-License-Identifier: Apache-2.0
#include "manager/dialect.hpp"

#include "manager/json_guard.hpp"
#include "manager/metadata.hpp"
#include "manager/round_trips.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace belay;
using namespace belay::manager;
using nlohmann::json;

namespace {

const Dialect& of(std::string_view release)
{
    const auto* found = dialect_of_release(release);
    REQUIRE(found != nullptr);
    return *found;
}

config::Configuration charger()
{
    config::Configuration result;
    auto& module = result.modules["slac"];
    module.id = "slac";
    module.name = "EvseSlac";
    result.manifests = {{"EvseSlac", {{"config", json::object()}, {"provides", {{"main", {{"interface", "slac"}}}}}}}};
    result.interface_definitions = {
        {"slac",
         {{"cmds", {{"reset", json::object()}}},
          {"errors", {{"generic", {{"Broken", {{"name", "Broken"}, {"description", "it is broken"}}}}}}}}}};
    result.types = json::object();
    result.schemas = {{"config", json::object()}};
    return result;
}

/// What the configuration service says to `slac` in the newest dialect.
json answer()
{
    const json parameters{{"!module", json::array()},
                          {"main",
                           {{{"name", "fast"},
                             {"value", true},
                             {"characteristics", {{"datatype", "bool"}, {"mutability", "ReadOnly"}}}}}}};
    const json module{{"module_id", "slac"},           {"module_name", "EvseSlac"},
                      {"standalone", false},           {"capabilities", {"CAP_NET_RAW"}},
                      {"connections", json::object()}, {"configuration_parameters", parameters}};
    const json data{{"module_config", module},
                    {"mappings", {{"slac", nullptr}, {"evse", {{"module", {{"evse", 1}}}}}}}};
    return {{"status", "Ok"}, {"type", "Get"}, {"response", {{"type", "Module"}, {"data", data}}}};
}

std::set<std::string> topics_in(const Dialect& dialect)
{
    std::set<std::string> result;
    for (const auto& message : make_metadata(charger(), Topics{"everest/"}, dialect))
        result.insert(message.topic.substr(std::string_view{"everest/"}.size()));
    return result;
}

} // namespace

TEST_CASE("a release has the dialect of the last one that changed it")
{
    for (const auto& [text, release] : {std::pair{"2024.11", "2024.11"},
                                        {"2024.12.1", "2024.11"},
                                        {"everest-core 2025.4.1 main@2025.4.1", "2025.1"},
                                        {"2025.5.0", "2025.1"},
                                        {"2025.10.0", "2025.6"},
                                        {"2026.02.0", "2025.12"},
                                        {"2026.10.0-dev", "2026.10"},
                                        {"2031.1", "2026.10"}})
        CHECK(of(text).release == release);
    for (const auto* text : {"", "2024.10.0", "2024.9", "1.2024.11", "mine 3.1", "2025.13", "12025.6", "2025"}) {
        CAPTURE(text);
        CHECK((dialect_of_release(text) == nullptr || std::string_view{text} == "1.2024.11"));
    }
    for (const auto& dialect : dialects())
        CHECK(dialect_of_release(dialect.release) == &dialect);
}

TEST_CASE("a request tells the dialect")
{
    const auto release = [](std::string_view topic, std::string_view payload) {
        const auto request = read_request(topic, payload);
        return request ? request->dialect->release : std::string_view{};
    };
    CHECK(release("modules/slac/get_config", R"({"type":"full"})") == "2024.11");
    CHECK(release("config/request", R"({"type":"Get","origin":"slac","request":{"type":"Module"}})") == "2025.6");
    CHECK(release("config/request", R"({"msg_type":"GetConfig","data":{}})") == "2025.12");
    CHECK(release("config/request", R"({"msg_type":"ConfigurationRequest","data":{}})") == "2026.10");
    for (const auto* nonsense : {R"({"msg_type":"Var","data":{}})", R"({"msg_type":"GetConfig"})", "true", "",
                                 R"({"msg_type":["GetConfig"],"data":{}})", R"({"msg_type":"","data":{}})"})
        CHECK(release("config/request", nonsense).empty());
    CHECK(read_request("modules/slac/get_config", "{}")->data["origin"] == "slac");
    CHECK(release("modules//get_config", "{}").empty());
}

TEST_CASE("ready is understood before the dialect is known, and afterwards only in it")
{
    const std::string bare = "true";
    const std::string wrapped = R"({"msg_type":"ModuleReady","data":true})";
    CHECK(read_ready(bare, nullptr));
    CHECK(read_ready(wrapped, nullptr));
    for (const auto& dialect : dialects()) {
        CHECK(read_ready(bare, &dialect).has_value() == dialect.ready_type.empty());
        CHECK(read_ready(wrapped, &dialect).has_value() != dialect.ready_type.empty());
    }
    for (const auto* nonsense :
         {"false", "1", "null", "\"true\"", "[]", R"({"data":true})", R"({"msg_type":"ModuleReady"})",
          R"({"msg_type":"ModuleReady","data":false})", R"({"msg_type":"GlobalReady","data":true})"})
        CHECK_FALSE(read_ready(nonsense, nullptr));
}

TEST_CASE("the configuration is told in the words of each release")
{
    const auto told = [](std::string_view release) {
        return json::parse(write_answer(of(release), answer(), charger()));
    };
    const auto old = told("2024.11");
    CHECK(old["module_config"]["slac"]["module"] == "EvseSlac");
    CHECK(old["module_config"]["slac"]["config_maps"]["main"] == json{{"fast", true}});
    CHECK(old["module_names"] == json{{"slac", "EvseSlac"}});
    CHECK(old["mappings"] == json{{"evse", {{"module", {{"evse", 1}}}}}});

    const auto typed = told("2025.1");
    CHECK(typed["module_config"]["slac"]["config_maps"]["main"]["fast"] == json{{"value", true}, {"type", "boolean"}});
    CHECK(typed["module_config"]["module_id"] == "slac"); // 0.21
    CHECK_FALSE(typed["module_config"].contains("capabilities"));

    const auto bare = told("2025.6");
    CHECK(bare["status"] == "Ok");
    CHECK_FALSE(bare["response"]["data"]["module_config"].contains("capabilities"));
    CHECK(told("2025.12") == json{{"msg_type", "GetConfigResponse"}, {"data", bare}});
    CHECK(told("2026.10") == json{{"msg_type", "ConfigurationResponse"}, {"data", answer()}});
}

TEST_CASE("what an old dialect has no words for is not said")
{
    const json refusal{{"status", "Error"}, {"status_info", "no"}, {"response", nullptr}};
    CHECK(write_answer(of("2025.1"), refusal, charger()).empty());
    CHECK(json::parse(write_answer(of("2025.6"), refusal, charger())) == refusal);
}

TEST_CASE("each dialect has its retained topics, and all are known as such")
{
    const auto today = topics_in(of("2026.10"));
    CHECK(today == std::set<std::string>{"interfaces", "interface_definitions/slac", "types", "settings",
                                         "manifests/EvseSlac", "module_names"});
    CHECK(topics_in(of("2025.6")) == today);
    auto old = today;
    old.merge(
        std::set<std::string>{"schemas", "module_provides", "manifests", "error_types_map", "module_config_cache"});
    CHECK(topics_in(of("2024.11")) == old);
    CHECK(topics_in(of("2025.1")) == old);
    for (const auto& topic : old)
        CHECK(Topics{"everest/"}.is_metadata("everest/" + topic));

    std::map<std::string, json> payloads;
    for (const auto& message : make_metadata(charger(), Topics{"P/"}, of("2024.11")))
        payloads[message.topic] = json::parse(message.payload);
    CHECK(payloads["P/error_types_map"] == json{{"generic/Broken", "it is broken"}});
    CHECK(payloads["P/module_provides"] == json{{"EvseSlac", {{"main", "slac"}}}});
    CHECK(payloads["P/module_config_cache"] ==
          json{{"EvseSlac", {{"provides_impl", {"main"}}, {"cmds", {{"main", {{"reset", json::object()}}}}}}}});
    CHECK(payloads["P/manifests"]["EvseSlac"].contains("config"));
    CHECK_FALSE(payloads["P/manifests/EvseSlac"].contains("config"));
}

TEST_CASE("delayed acknowledgements are told from delays")
{
    using std::chrono::milliseconds;
    const auto judge = [](std::initializer_list<int> gaps) {
        std::vector<std::chrono::nanoseconds> list;
        for (const int gap : gaps)
            list.emplace_back(milliseconds{gap});
        return RoundTrips::judge(list);
    };
    CHECK(judge({}) == std::nullopt);
    CHECK(judge({41, 43, 41, 44}) == std::nullopt);
    CHECK(judge({41, 43, 41, 44, 41}) == true);
    CHECK(judge({0, 41, 0, 43, 41, 0, 44, 41}) == true);
    CHECK(judge({0, 0, 0, 0, 0}) == false);
    CHECK(judge({41, 0, 2, 0, 0, 200}) == false);
    CHECK(judge({500, 300, 200, 1000, 90}) == false); // a broker that hangs
}
