// SPDX-License-Identifier: Apache-2.0
#include "tests/config/prefix.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

/// The rules of everest-docs/config.md §3 to §9: what is refused, where, and in which words.

using namespace belay::config;

namespace {

const std::string head = "active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n";

struct Case
{
    std::string text;
    std::string place;   ///< "line:column"
    std::string message; ///< a part of what is shown
};

std::string places_of(const Prefix& prefix)
{
    std::string result;
    for (const auto& item : prefix.diagnostics.all())
        result += std::to_string(item.location.line) + ':' + std::to_string(item.location.column) + ' ';
    return result;
}

/// Each is refused with one diagnostic, not with a cascade.
void refuses(Prefix& prefix, const std::vector<Case>& cases)
{
    for (const auto& [text, place, message] : cases) {
        INFO(text);
        CHECK_FALSE(prefix.load(text));
        INFO(prefix.text());
        CHECK_THAT(prefix.text(), Catch::Contains(message));
        CHECK(places_of(prefix) == place + ' ');
        CHECK(prefix.diagnostics.has_errors());
    }
}

} // namespace

TEST_CASE("keys, ids and names are checked by the schema")
{
    Prefix prefix;
    refuses(
        prefix,
        {
            {"active_module: {}\n", "1:1", "did you mean `active_modules`?"},
            {"settings: {run_as_usr: x}\n", "1:12", "did you mean `run_as_user`?"},
            {"settings: {mqtt_broker_port: '1883'}\n", "1:30", "write a number, without quotes"},
            {"settings: {telemetry_enabled: yes}\n", "1:31", "write true or false, without quotes"},
            {"settings: {run_as_user: 5}\n", "1:25", "write it in quotes"},
            {"settings: {mqtt_broker_port: 70000}\n", "1:30", "between 1 and 65535"},
            {"settings: []\n", "1:11", "a list, not a mapping"},
            {"active_modules: 5\n", "1:17", "an integer, not a mapping"},
            {"active_modules:\n  9a: {module: Thing, config_module: {level: 2}}\n", "2:3", "not a valid name"},
            {"active_modules:\n  a: {}\n", "2:6", "lacks the key `module`"},
            {"active_modules:\n  a: {modul: Thing}\n", "2:7", "did you mean `module`?"},
            {"active_modules:\n  a: {module: ../Thing}\n", "2:15", "required form"},
            {"active_modules:\n  a: Thing\n", "2:6", "a string, not a mapping"},
            {head + "    standalone: 'true'\n", "5:17", "write true or false, without quotes"},
            {head + "    capabilities: CAP_NET_RAW\n", "5:19", "a string, not a list"},
            {head + "    capabilities: [5]\n", "5:20", "an integer, not a string"},
            {head + "    telemetry: {}\n", "5:16", "lacks the key `id`"},
            {head + "    mapping: {modul: {}}\n", "5:15", "did you mean `module`?"},
            {head + "    mapping: {implementations: {main: {connector: 1}}}\n", "5:39", "lacks the key `evse`"},
            {head + "    access: {config: {allow_global_raed: true}}\n", "5:23", "did you mean `allow_global_read`?"},
            {head + "    connections: []\n", "5:18", "a list, not a mapping"},
            {head + "    connections: {other: {}}\n", "5:26", "a mapping, not a list"},
            {head + "    connections: {other: [{module_id: a}]}\n", "5:27", "lacks the key `implementation_id`"},
            {head + "    connections: {other: [{module_id: a, implementation_id: main, x: 1}]}\n", "5:67",
             "unknown key `x`"},
        });
}

TEST_CASE("parameters have the manifest's names, types and values")
{
    Prefix prefix;
    const std::string module = "active_modules:\n  a:\n    module: Thing\n";
    refuses(prefix, {
                        {module, "3:13", "lacks the parameter `level`, which has no default"},
                        {module + "    config_module: {level: }\n", "4:28",
                         "null, not a boolean, an integer, a number or a string"},
                        {module + "    config_module: {level: [1]}\n", "4:28", "a list, not a boolean"},
                        {module + "    config_module: []\n", "4:20", "a list, not a mapping"},
                        {module + "    config_module: {level: high}\n", "4:28", "wants the type number"},
                        {module + "    config_module: {level: '2'}\n", "4:28", "write a number, without quotes"},
                        {module + "    config_module: {level: true}\n", "4:28", "a boolean, the manifest wants"},
                        {module + "    config_module: {level: 0}\n", "4:28", "which must be at least 1"},
                        {head + "    config_implementation: {main: {size: 2.5}}\n", "5:42", "wants the type integer"},
                        {head + "    config_implementation: {mian: {}}\n", "5:29", "did you mean `main`?"},
                    });
}

TEST_CASE("connections lead from requirements to implementations of the same interface")
{
    Prefix prefix;
    prefix.write("libexec/everest/modules/Needy/manifest.yaml",
                 "description: needy\nprovides: {main: {interface: other, description: it}}\n"
                 "requires:\n  one: {interface: thing}\n  two: {interface: thing, min_connections: 2, "
                 "max_connections: 3}\nmetadata: {license: 'x://y', authors: [Tests]}\n");
    const std::string main = "{module_id: a, implementation_id: main}";
    const auto connected = [&](const std::string& one, const std::string& two) {
        return head + "  b:\n    module: Needy\n    connections: {one: " + one + ", two: " + two + "}\n";
    };
    const auto both = "[" + main + ", " + main + "]";
    REQUIRE(prefix.load(connected("[" + main + "]", both)));
    CHECK(prefix.diagnostics.all().empty());
    refuses(prefix, {
                        {head + "    connections: {othr: []}\n", "5:19", "did you mean `other`?"},
                        {head + "    connections: {other: [{module_id: aa, implementation_id: main}]}\n", "5:39",
                         "`aa`, which does not exist"},
                        {head + "    connections: {other: [{module_id: a, implementation_id: mai}]}\n", "5:61",
                         "did you mean `main`?"},
                        {connected("[]", both), "7:19", "has 0 connections, it takes 1 to 1"},
                        {connected(both, both), "7:19", "has 2 connections, it takes 1 to 1"},
                        {connected("[" + main + "]", "[" + main + "]"), "7:67", "has 1 connection, it takes 2 to 3"},
                        {connected("[{module_id: b, implementation_id: main}]", both), "7:59",
                         "wants the interface `thing`, but `main` of `b` has `other`"},
                        {head + "  b: {module: Needy, connections: {one: [" + main + "]}}\n", "5:15",
                         "needs a connection for `two`"},
                    });
}

TEST_CASE("a ProbeModule's manifest comes from the connections")
{
    Prefix prefix;
    prefix.write("libexec/everest/modules/Other/manifest.yaml",
                 "description: other\nprovides: {main: {interface: other, description: it}}\n"
                 "requires: {other: {interface: other, min_connections: 0}}\n"
                 "metadata: {license: 'x://y', authors: [Tests]}\n");
    const std::string probe = "  p:\n    module: ProbeModule\n    standalone: true\n";
    const std::string other = "  o: {module: Other}\n";
    const auto to_probe = [](const std::string& id) {
        return ", connections: {other: [{module_id: p, implementation_id: " + id + "}]}}\n";
    };
    const auto result =
        prefix.load(head + "    connections: {other: [{module_id: p, implementation_id: x}]}\n" + other + probe +
                    "    connections: {r: [{module_id: a, implementation_id: main}, {module_id: "
                    "a, implementation_id: main}]}\n");
    INFO(prefix.text());
    REQUIRE(result);
    const auto& manifest = result->manifests["ProbeModule"];
    CHECK(manifest["provides"]["x"]["interface"] == "thing");
    CHECK(manifest["requires"]["r"]["interface"] == "thing");
    REQUIRE(prefix.load(head + probe));
    refuses(prefix, {
                        {head + probe + "  q: {module: ProbeModule, standalone: true}\n", "8:15", "two ProbeModules"},
                        {"active_modules:\n  a: {module: Thing, config_module: {level: 2}" + to_probe("x") +
                             "  o: {module: Other" + to_probe("x") + probe,
                         "3:44", "is needed with the interface `other` here and with `thing` elsewhere"},
                        {head + probe + "    connections: {r: [{module_id: b, implementation_id: main}]}\n", "8:23",
                         "`b`, which does not exist"},
                        {head + probe + "    connections: {r: [{module_id: a, implementation_id: mani}]}\n", "8:23",
                         "did you mean `main`?"},
                        {head + other + probe +
                             "    connections: {r: [{module_id: a, implementation_id: main}, {module_id: o, "
                             "implementation_id: main}]}\n",
                         "9:64", "mixes the interfaces `thing` and `other`"},
                    });
}

TEST_CASE("what EVerest accepts with a warning or in silence is a warning")
{
    Prefix prefix;
    const std::vector<Case> cases{
        {"active_modules: {a: {module: Thing, config_module: {level: 2, levle: 3}}}\n", "1:63",
         "did you mean `level`?"},
        {head + "    mapping: {implementations: {mian: {evse: 1}}}\n", "5:33", "did you mean `main`?"},
        {head + "    access: {config: {modules: {bb: {allow_read: true}}}}\n", "5:33", "`bb`, which does not exist"},
        {head + "    standalone: true\n    standalone: false\n", "6:5", "stands twice"},
        {head + "    telemetry: &x {id: 1}\nx-module-layout: *x\n", "6:18", "is not expanded"},
        {head + "x-module-layout: 0x10\n", "5:18", "is read as 0"},
    };
    for (const auto& [text, place, message] : cases) {
        INFO(text);
        CHECK(prefix.load(text));
        INFO(prefix.text());
        CHECK_THAT(prefix.text(), Catch::Contains(message));
        CHECK(places_of(prefix) == place + ' ');
    }
    LoadOptions options;
    options.standalone = {"ab", "a"};
    options.ignore = {"c"};
    CHECK(prefix.load(head, options));
    CHECK_THAT(prefix.text(), Catch::Contains("--standalone: there is no module id `ab`; did you mean `a`?") &&
                                  Catch::Contains("--ignore: there is no module id `c`") &&
                                  !Catch::Contains("id `a`;"));
}

TEST_CASE("capabilities stand in the configuration or else in the manifest")
{
    Prefix prefix;
    const auto with_manifest = [&](const std::string& capabilities) {
        prefix.write("libexec/everest/modules/Thing/manifest.yaml",
                     std::string{Prefix::thing_manifest} + "capabilities: " + capabilities + "\n");
    };
    const auto names = [&](const std::string& text) {
        const auto result = prefix.load(text);
        INFO(prefix.text());
        REQUIRE(result);
        return result->modules.at("a").config.value("capabilities", nlohmann::json{});
    };
    CHECK(names(head).is_null());
    CHECK(names(head + "    capabilities: [CAP_NET_RAW]\n") == nlohmann::json{"CAP_NET_RAW"});
    with_manifest("[CAP_NET_ADMIN]");
    CHECK(names(head) == nlohmann::json{"CAP_NET_ADMIN"});
    CHECK(names(head + "    capabilities: [CAP_NET_RAW]\n") == nlohmann::json{"CAP_NET_RAW"});
    CHECK(names(head + "    capabilities: []\n") == nlohmann::json::array());
    for (const auto* wrong : {"CAP_NET_RAW", "[5]", "{}"}) {
        INFO(wrong);
        with_manifest(wrong);
        CHECK_FALSE(prefix.load(head));
        CHECK_THAT(prefix.text(), Catch::Contains("Thing/manifest.yaml:9:15: error: `capabilities` must be a list"));
    }
}

TEST_CASE("ten mistakes are ten diagnostics of one run, in the order of the lines")
{
    Prefix prefix;
    CHECK_FALSE(prefix.load("active_module: {}\n"
                            "active_modules:\n"
                            "  a:\n"
                            "    module: Thing\n"
                            "    capabilites: []\n"
                            "    config_module: {level: 0}\n"
                            "    config_implementation: {mian: {}}\n"
                            "    connections:\n"
                            "      othr: []\n"
                            "      other: [{module_id: c, implementation_id: main}]\n"
                            "  b: {module: Think}\n"
                            "  9: {module: Thing, config_module: {level: yes}}\n"
                            "settings:\n"
                            "  mqtt_broker_port: x\n"));
    INFO(prefix.text());
    CHECK(places_of(prefix) == "1:1 5:5 6:28 7:29 9:7 10:27 11:15 12:3 12:45 14:21 ");
    CHECK_THAT(prefix.text(), Catch::Contains("did you mean `active_modules`?") &&
                                  Catch::Contains("did you mean `capabilities`?") &&
                                  Catch::Contains("did you mean `main`?") && Catch::Contains("did you mean `other`?") &&
                                  Catch::Contains("did you mean `Thing`?"));
}

TEST_CASE("what is missing is reported once, however many need it")
{
    Prefix prefix;
    std::string text = "active_modules:\n";
    for (int i = 0; i < 20; ++i)
        text += "  m" + std::to_string(i) + ": {module: Gone, connections: {x: [{module_id: m" + std::to_string(i) +
                ", implementation_id: y}]}}\n";
    text += "  a: {module: Thing, config_module: {level: 2}, connections: {other: [{module_id: m1, implementation_id: "
            "y}]}}\n  p: {module: ProbeModule, standalone: true, connections: {r: [{module_id: m2, implementation_id: "
            "y}]}}\n";
    CHECK_FALSE(prefix.load(text));
    std::string places; // each entry has to be changed
    for (int i = 0; i < 20; ++i)
        places += std::to_string(i + 2) + (i < 10 ? ":16 " : ":17 ");
    CHECK(places_of(prefix) == places);
    CHECK_THAT(prefix.text(), Catch::Contains("the module `Gone` is not installed"));
    std::filesystem::create_directories(prefix.path / "libexec/everest/modules/Gone");
    refuses(prefix, {{text, "0:0", "Gone/manifest.yaml: error: the file cannot be read: No such file"}});
    prefix.write("libexec/everest/modules/Gone/manifest.yaml", "description: gone\nmetdata: {}\n");
    CHECK_FALSE(prefix.load(text));
    CHECK(places_of(prefix) == "2:1 ");
    for (const auto* directory : {"interfaces", "errors", "schemas"}) {
        INFO(directory);
        Prefix broken;
        std::filesystem::remove_all(broken.path / "share/everest" / directory);
        refuses(broken, {{head, "0:0", std::string{"share/everest/"} + directory + "` ("}});
    }
    std::filesystem::remove_all(prefix.path / "libexec/everest/modules");
    refuses(prefix, {{text, "0:0", "modules_dir"}});
    std::filesystem::remove_all(prefix.path / "share");
    CHECK_FALSE(prefix.load(text));
    CHECK(prefix.diagnostics.all().size() == 2);
}
