// SPDX-License-Identifier: Apache-2.0
#include "tests/config/prefix.hpp"

#include <catch2/catch.hpp>

/// Where things are, and the settings: everest-docs/config.md §1, §4 and §6.

namespace fs = std::filesystem;
using namespace belay::config;

namespace {

const std::string module_a = "active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n";

Settings settings_of(Prefix& prefix, const std::string& settings, const LoadOptions& options = {})
{
    const auto result = prefix.load("settings: {" + settings + "}\n", options);
    INFO(prefix.text());
    REQUIRE(result);
    return result->settings;
}

LoadOptions with(std::map<std::string, std::string> environment)
{
    LoadOptions options;
    options.environment = std::move(environment);
    return options;
}

std::string config_used(Prefix& prefix, const std::string& wanted)
{
    LoadOptions options;
    options.config = wanted;
    const auto result = prefix.load_as(options);
    return result ? fs::relative(result->settings.config_file, prefix.path).string() : "none";
}

} // namespace

TEST_CASE("the configuration is a file or a name")
{
    Prefix prefix;
    prefix.write("etc/everest/sil.yaml", "active_modules: {}\n");
    prefix.write("etc/everest/config-other.yaml", "active_modules: {}\n");
    CHECK(config_used(prefix, (prefix.path / "etc/everest/sil.yaml").string()) == "etc/everest/sil.yaml");
    CHECK(config_used(prefix, (prefix.path / "etc/../etc/everest/sil.yaml").string()) == "etc/everest/sil.yaml");
    CHECK(config_used(prefix, "sil") == "etc/everest/sil.yaml");
    CHECK(config_used(prefix, "other") == "none");
    CHECK(config_used(prefix, "sil.yaml") == "none");
    CHECK(config_used(prefix, "") == "none");
    prefix.write("etc/everest/default.yaml", "active_modules: {}\n");
    CHECK(config_used(prefix, "") == "etc/everest/default.yaml");
    prefix.write("etc/everest/sil.yml", "");
    CHECK(config_used(prefix, (prefix.path / "etc/everest/sil.yml").string()) == "none");
    // A .json name is tried as .yaml first.
    prefix.write("etc/everest/old.json", R"({"active_modules": {}})");
    CHECK(config_used(prefix, (prefix.path / "etc/everest/old.json").string()) == "etc/everest/old.json");
    prefix.write("etc/everest/old.yaml", "active_modules: {}\n");
    CHECK(config_used(prefix, (prefix.path / "etc/everest/old.json").string()) == "etc/everest/old.yaml");
}

TEST_CASE("belay.yaml is not offered as a configuration")
{
    Prefix prefix;
    prefix.write("etc/everest/sil.yaml", "active_modules: {}\n");
    prefix.write("etc/everest/belay.yaml", "");
    CHECK(config_used(prefix, "belai") == "none");
    CHECK_THAT(prefix.text(), Catch::Contains("expected one of `sil`"));
}

TEST_CASE("a prefix called usr has its configurations beside it")
{
    Prefix prefix;
    fs::create_directory(prefix.path / "usr");
    for (const auto* directory : {"share", "libexec"})
        fs::rename(prefix.path / directory, prefix.path / "usr" / directory);
    prefix.write("usr/etc/everest/default_logging.cfg", "");
    prefix.write("usr/etc/everest/c.yaml", "active_modules: {}\n");
    LoadOptions options;
    options.prefix = (prefix.path / "usr").string();
    options.config = "c";
    const auto result = load(options, prefix.diagnostics);
    INFO(prefix.text());
    REQUIRE(result);
    CHECK(result->settings.etc_dir == prefix.path / "etc/everest");
    CHECK(result->settings.config_file == prefix.path / "usr/etc/everest/c.yaml");
    CHECK(result->settings.logging_config_file == prefix.path / "usr/etc/everest/default_logging.cfg");
}

TEST_CASE("directories are relative to the prefix and must exist")
{
    Prefix prefix;
    for (const auto* key :
         {"configs_dir", "schemas_dir", "modules_dir", "interfaces_dir", "types_dir", "errors_dir", "www_dir"}) {
        INFO(key);
        CHECK_FALSE(prefix.load("settings: {" + std::string{key} + ": nowhere}\n"));
        CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:1:") && Catch::Contains("nowhere` (" + std::string{key}));
        CHECK_FALSE(prefix.load("settings: {" + std::string{key} + ": etc/everest/c.yaml}\n"));
    }
    CHECK_FALSE(prefix.load("settings: {logging_config_file: nowhere}\n"));
    CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:1:33: error: the logging configuration"));
    CHECK_FALSE(prefix.load("settings: {logging_config_file: etc}\n"));
    fs::rename(prefix.path / "share/everest/types", prefix.path / "types");
    CHECK(settings_of(prefix, "types_dir: types").types_dir == prefix.path / "types");
}

TEST_CASE("the broker is a socket or a host, and the environment overrides the host")
{
    Prefix prefix;
    auto broker = settings_of(prefix, "").broker;
    CHECK(broker.host == "localhost");
    CHECK(broker.port == 1883);
    CHECK(broker.socket_path.empty());
    CHECK(broker.everest_prefix == "everest/");
    broker = settings_of(prefix, "mqtt_broker_host: a, mqtt_broker_port: 1",
                         with({{"MQTT_SERVER_ADDRESS", "b"}, {"MQTT_SERVER_PORT", "2"}}))
                 .broker;
    CHECK(broker.host == "b");
    CHECK(broker.port == 2);
    CHECK(settings_of(prefix, "mqtt_broker_socket_path: /x").broker.host.empty());
    for (const auto* wrong : {"x", "", "-1", "0", "65536", "1883x", "99999999999999999999"}) {
        INFO(wrong);
        CHECK(settings_of(prefix, "mqtt_broker_port: 7", with({{"MQTT_SERVER_PORT", wrong}})).broker.port == 7);
        CHECK_THAT(prefix.text(), Catch::Contains("warning: the environment variable MQTT_SERVER_PORT"));
    }
    CHECK_FALSE(prefix.load("settings: {mqtt_broker_socket_path: /x, mqtt_broker_host: y}\n"));
    CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:1:37: error: both a socket path and a host"));
    CHECK_FALSE(prefix.load("settings: {mqtt_broker_socket_path: /x}\n", with({{"MQTT_SERVER_ADDRESS", "localhost"}})));
    CHECK_THAT(prefix.text(), Catch::Contains("MQTT_SERVER_ADDRESS"));
}

TEST_CASE("topic prefixes end with a slash, and differ")
{
    Prefix prefix;
    CHECK(settings_of(prefix, "mqtt_everest_prefix: x").broker.everest_prefix == "x/");
    CHECK(settings_of(prefix, "mqtt_everest_prefix: x/").broker.everest_prefix == "x/");
    CHECK(settings_of(prefix, "mqtt_external_prefix: x").broker.external_prefix == "x");
    LoadOptions options;
    options.everest_prefix = "cli";
    CHECK(settings_of(prefix, "mqtt_everest_prefix: x", options).broker.everest_prefix == "cli/");
    CHECK_FALSE(prefix.load("settings: {mqtt_external_prefix: everest/}\n"));
    CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:1:34: error: ") && Catch::Contains("are both `everest/`"));
    CHECK(settings_of(prefix, "mqtt_external_prefix: everest").broker.external_prefix == "everest");
}

TEST_CASE("an overlay is a merge patch")
{
    Prefix prefix;
    const std::string main = module_a + "    connections: {other: [{module_id: a, implementation_id: main}]}\n"
                                        "    telemetry: {id: 1}\n"
                                        "  b: {module: Thing, config_module: {level: 3}}\n";
    const auto merged = [&](const std::string& overlay) {
        prefix.write("etc/everest/user-config/c.yaml", overlay);
        auto result = prefix.load(main);
        INFO(prefix.text());
        REQUIRE(result);
        return std::move(result->modules);
    };
    auto modules = merged("active_modules: {a: {config_module: {level: 7}, connections: {other: []}, telemetry: }, "
                          "b: , c: {module: Thing, config_module: {level: 4, x: }}}\n");
    REQUIRE(modules.size() == 2);
    CHECK(modules.at("a").config["configuration_parameters"]["!module"][0]["value"] == 7.0);
    CHECK(modules.at("a").config["connections"].empty());
    CHECK_FALSE(modules.at("a").config.contains("telemetry_config"));
    CHECK(modules.at("c").config["configuration_parameters"]["!module"][0]["value"] == 4.0);
    CHECK(prefix.diagnostics.all().empty());
    CHECK(merged("").size() == 2);
    CHECK(merged("settings: {mqtt_broker_port: 5}\n").size() == 2);
    CHECK_THAT(prefix.text(), Catch::Contains("`settings` in an overlay have no effect"));
    // What is wrong in it is an error at its line.
    prefix.write("etc/everest/user-config/c.yaml", "active_modules: {a: {config_module: {level: 0}}}\n");
    CHECK_FALSE(prefix.load(main));
    CHECK_THAT(prefix.text(), Catch::Contains("user-config/c.yaml:1:45: error: ") && Catch::Contains("at least 1"));
    prefix.write("etc/everest/user-config/c.yaml", "a: {config_module: {level: 3}}\n");
    CHECK_FALSE(prefix.load(main));
    CHECK_THAT(prefix.text(), Catch::Contains("user-config/c.yaml:1:1: error: unknown key `a`"));
}

TEST_CASE("main settings are checked even where an overlay has others")
{
    Prefix prefix;
    prefix.write("etc/everest/user-config/c.yaml", "settings: {mqtt_broker_port: 5}\n");
    CHECK_FALSE(prefix.load("settings: {mqtt_broker_port: five}\n"));
    CHECK_THAT(prefix.text(), Catch::Contains("etc/everest/c.yaml:1:30: error: "));
}

TEST_CASE("a prefix under which no message could be sent is refused")
{
    Prefix prefix;
    for (const auto* good : {"everest", "everest/2/", "a$b", "/x", ""}) {
        CAPTURE(good);
        CHECK(prefix.load(std::string{"settings: {mqtt_everest_prefix: '"} + good + "'}\n"));
    }
    for (const auto* bad : {"everest/+", "#", "a#b/", "$SYS/everest", "$share/a/b"}) {
        CAPTURE(bad);
        CHECK_FALSE(prefix.load(std::string{"settings: {mqtt_everest_prefix: '"} + bad + "'}\n"));
        CHECK_THAT(prefix.text(), Catch::Contains("etc/everest/c.yaml:1:33: error: ") && Catch::Contains(bad));
        LoadOptions options;
        options.everest_prefix = bad;
        CHECK_FALSE(prefix.load("{}\n", options));
    }
}

TEST_CASE("the release that is installed is read, and the dialect to be spoken")
{
    Prefix prefix;
    CHECK(prefix.load("{}\n")->settings.version.empty());
    prefix.write("share/everest/version_information.txt", "everest-core 2025.4.1 main@2025.4.1\n");
    CHECK(prefix.load("{}\n")->settings.version == "everest-core 2025.4.1 main@2025.4.1\n");
    CHECK(prefix.load("{}\n")->settings.broker.dialect.empty());
    prefix.write("etc/everest/belay.yaml", "broker: {dialect: '2025.6'}\n");
    CHECK(prefix.load("{}\n")->settings.broker.dialect == "2025.6");
    prefix.write("etc/everest/belay.yaml", "broker: {dialect: auto}\n");
    CHECK(prefix.load("{}\n")->settings.broker.dialect.empty());
    prefix.write("etc/everest/belay.yaml", "broker: {dialect: 2025.1}\n");
    CHECK_FALSE(prefix.load("{}\n"));
    CHECK_THAT(prefix.text(), Catch::Contains("belay.yaml:1:19: error: `dialect` must be a string"));
    for (const auto& [release, remedy] : {std::pair{"2024.11", "dialect: \"2024.11\""},
                                          {"2025.10", "dialect: \"2025.6\""},
                                          {"'2025.10'", "dialect: \"2025.6\""},
                                          {"'2025.9'", "dialect: \"2025.6\""},
                                          {"'2025.4.1'", "dialect: \"2025.1\""},
                                          {"'2026.02'", "dialect: \"2025.12\""},
                                          {"'2024.3'", "`dialect` must be `auto`, `2024.11`"},
                                          {"autom", "did you mean `auto`?"}}) {
        INFO(release);
        prefix.write("etc/everest/belay.yaml", std::string{"broker: {dialect: "} + release + "}\n");
        CHECK_FALSE(prefix.load("{}\n"));
        CHECK(prefix.diagnostics.count(Severity::error) == 1);
        CHECK_THAT(prefix.text(), Catch::Contains(remedy));
    }
}
