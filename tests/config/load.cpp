// SPDX-License-Identifier: Apache-2.0
#include "tests/config/prefix.hpp"

#include <catch2/catch.hpp>

using namespace belay::config;

TEST_CASE("every class of error is found")
{
    const std::string head = "active_modules:\n  a:\n    module: Thing\n";
    const std::string level = "    config_module: {level: 2}\n";
    const std::vector<std::pair<std::string, std::string>> cases{
        {"active_module: {}\n", "did you mean `active_modules`?"},
        {"active_modules:\n  a: {module: Think}\n", "did you mean `Thing`?"},
        {head, "lacks the parameter `level`"},
        {head + "    config_module: {level: high}\n", "wants the type number"},
        {head + "    config_module: {level: 0}\n", "at least 1"},
        {head + level + "    config_implementation: {mian: {}}\n", "did you mean `main`?"},
        {head + level + "    connections: {othr: []}\n", "did you mean `other`?"},
        {head + level + "    connections: {other: [{module_id: b, implementation_id: main}]}\n", "does not exist"},
        {head + level + "    connections: {other: [{module_id: a, implementation_id: mai}]}\n", "does not provide it"},
        {head + level + "settings: {mqtt_broker_socket_path: /x, mqtt_broker_host: y}\n", "both a socket path"},
        {head + level + "settings: {schemas_dir: nowhere}\n", "does not exist"},
        {"active_modules:\n  a: {module: ProbeModule, standalone: true}\n  b: {module: ProbeModule, standalone: "
         "true}\n",
         "two ProbeModules"},
    };
    Prefix prefix;
    for (const auto& [text, message] : cases) {
        INFO(text);
        CHECK_FALSE(prefix.load(text));
        CHECK_THAT(prefix.text(), Catch::Contains(message));
    }
}

TEST_CASE("an integer for a number is sent as a floating point number, an unknown parameter is dropped")
{
    Prefix prefix;
    const auto result = prefix.load("active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2, x: 1}\n");
    INFO(prefix.text());
    REQUIRE(result);
    const auto& parameters = result->modules.at("a").config["configuration_parameters"]["!module"];
    REQUIRE(parameters.size() == 1);
    CHECK(parameters[0]["value"].is_number_float());
    CHECK(prefix.diagnostics.all().size() == 1);
}

TEST_CASE("with run_as_user an overlay changes values only")
{
    Prefix prefix;
    const std::string text =
        "settings: {run_as_user: root}\nactive_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n";
    prefix.write("etc/everest/user-config/c.yaml", "active_modules: {a: {config_module: {level: 3}}}\n");
    const auto result = prefix.load(text);
    INFO(prefix.text());
    REQUIRE(result);
    CHECK(result->modules.at("a").config["configuration_parameters"]["!module"][0]["value"] == 3.0);
    for (const auto* overlay :
         {"active_modules: {a: {module: Thing}}\n", "active_modules: {a: {capabilities: [CAP_CHOWN]}}\n",
          "settings: {run_as_user: root}\n", "active_modules: {b: {module: Thing}}\n", "active_modules: {a: }\n"}) {
        INFO(overlay);
        prefix.write("etc/everest/user-config/c.yaml", overlay);
        CHECK_FALSE(prefix.load(text));
        CHECK_THAT(prefix.text(), Catch::Contains("user-config/c.yaml:1:"));
    }
    prefix.write("etc/everest/user-config/c.yaml", "[");
    CHECK(prefix.load(text));
}

TEST_CASE("a module that is not installed is an error wherever it stands, a misspelt key is one error")
{
    Prefix prefix;
    CHECK_FALSE(prefix.load("active_modules:\n  a: {module: Thin}\n  b: {module: Thin}\n"));
    CHECK(prefix.diagnostics.count(Severity::error) == 2);
    CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:2:15: ") && Catch::Contains("c.yaml:3:15: "));
    CHECK_FALSE(prefix.load("active_modules:\n  a: {modul: Thing}\n"));
    CHECK(prefix.diagnostics.count(Severity::error) == 1);
    CHECK_THAT(prefix.text(), Catch::Contains("did you mean `module`?"));
    CHECK_FALSE(prefix.load("active_modules:\n  a: {zzz: Thing}\n"));
    CHECK(prefix.diagnostics.count(Severity::error) == 2);
    CHECK_THAT(prefix.text(), Catch::Contains("lacks the key `module`"));
}

TEST_CASE("belay.yaml is read and its keys are checked")
{
    Prefix prefix;
    prefix.write("etc/everest/belay.yaml",
                 "modules: {'*': {limits: {LimitNOFILE: 64}}}\nbroker: {connect_timeout: 2}\n");
    const auto result = prefix.load("active_modules: {}\n");
    INFO(prefix.text());
    REQUIRE(result);
    CHECK(result->settings.broker.connect_timeout_ms == 2000);
    prefix.write("etc/everest/belay.yaml", "modules: {'*': {limit: {}}}\n");
    CHECK_FALSE(prefix.load("active_modules: {}\n"));
    CHECK_THAT(prefix.text(), Catch::Contains("did you mean `limits`?"));
}

TEST_CASE("a restart policy is the most specific one, and its keys are checked")
{
    using When = RestartPolicy::When;
    Prefix prefix;
    const std::string text = "active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n";
    const auto restart = [&](const std::string& modules) {
        prefix.write("etc/everest/belay.yaml", "modules: {" + modules + "}\n");
        const auto result = prefix.load(text);
        INFO(prefix.text());
        REQUIRE(result);
        return result->modules.at("a").policy.restart;
    };
    CHECK(restart("").policy == When::never);
    CHECK(restart("'*': {restart: {policy: always}}, Thing: {restart: {policy: on-failure}}").policy ==
          When::on_failure);
    const auto full = restart("a: {restart: {policy: always, delay: 0.2, max_delay: 3, stable_after: 9, burst: 2, "
                              "success_exit_status: [3, 7], scope: all}}");
    CHECK(full.scope == RestartPolicy::Scope::all);
    CHECK(restart("a: {restart: {policy: always, scope: module}}").scope == RestartPolicy::Scope::module);
    CHECK(full.delay.count() == 200);
    CHECK(full.max_delay.count() == 3000);
    CHECK(full.stable_after.count() == 9000);
    CHECK(full.burst == 2);
    CHECK(full.success_exit_status == std::set<int>{0, 3, 7});
    const std::vector<std::pair<std::string, std::string>> mistakes{
        {"{polcy: always}", "did you mean `policy`?"},
        {"{policy: alway}", "did you mean `always`?"},
        {"{delay: -1}", "`delay` must be seconds"},
        {"{delay: 9, max_delay: 3}", "`max_delay` (60 unless given) is shorter than `delay`"},
        {"{burst: 0}", "`burst` must be a whole number from 1 to 1000"},
        {"{success_exit_status: [256]}", "`success_exit_status` must be a whole number from 0 to 255"},
        {"{success_exit_status: 4}", "write [4]"},
        {"always", "write restart: {policy: always}"},
        {"onfailure", "write restart: {policy: on-failure}"},
        {"[]", "write restart: {policy: on-failure}"},
        {"{policy: always, scpe: all}", "did you mean `scope`?"},
        {"{policy: always, scope: al}", "did you mean `all`?"},
        {"{policy: always, scope: [all]}", "`scope` must be `module` or `all`"},
        {"{scope: all}", "contradicts the policy `never`"},
    };
    for (const auto& [value, message] : mistakes) {
        INFO(value);
        prefix.write("etc/everest/belay.yaml", "modules: {a: {restart: " + value + "}}\n");
        CHECK_FALSE(prefix.load(text));
        CHECK_THAT(prefix.text(), Catch::Contains(message) && Catch::Contains("belay.yaml:1:"));
    }
}

TEST_CASE("EVerest's crash recovery is the policy of whom belay.yaml does not speak")
{
    Prefix prefix;
    const std::string text = "active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n";
    LoadOptions options;
    const auto restart = [&](const std::string& modules) {
        prefix.write("etc/everest/belay.yaml", "modules: {" + modules + "}\n");
        const auto result = prefix.load(text, options);
        INFO(prefix.text());
        REQUIRE(result);
        return result->modules.at("a").policy.restart;
    };
    CHECK(restart("").policy == RestartPolicy::When::never);
    options.recover_module_crashes = true;
    const auto recovery = restart("a: {startup: {timeout: 3}}");
    CHECK(recovery.policy == RestartPolicy::When::always);
    CHECK(recovery.scope == RestartPolicy::Scope::all);
    CHECK(recovery.together);
    CHECK(recovery.burst == 3);
    CHECK(restart("a: {restart: {policy: never}}").policy == RestartPolicy::When::never);
    const auto own = restart("'*': {restart: {policy: on-failure}}");
    CHECK(own.policy == RestartPolicy::When::on_failure);
    CHECK(own.scope == RestartPolicy::Scope::module);
    CHECK_FALSE(own.together);
}

TEST_CASE("how long a broker is waited for")
{
    using namespace std::chrono_literals;
    Prefix prefix;
    const auto broker = [&](const std::string& keys) {
        prefix.write("etc/everest/belay.yaml", "broker: {" + keys + "}\n");
        const auto result = prefix.load("active_modules: {}\n");
        INFO(prefix.text());
        REQUIRE(result);
        return result->settings.broker;
    };
    CHECK(broker("").connect_timeout_ms == 30000);
    CHECK_FALSE(broker("").reconnect_timeout);
    CHECK(broker("reconnect_timeout: 90").reconnect_timeout == 90s);
    CHECK_FALSE(broker("").recover);
    CHECK(broker("recover: true").recover == true);
    CHECK(broker("recover: false").recover == false);
}

TEST_CASE("timeouts for ready and for stop are the most specific ones, and are checked")
{
    using namespace std::chrono_literals;
    Prefix prefix;
    const std::string text = "active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n";
    const auto module = [&](const std::string& modules) {
        prefix.write("etc/everest/belay.yaml", "modules: {" + modules + "}\n");
        const auto result = prefix.load(text);
        INFO(prefix.text());
        REQUIRE(result);
        return result->modules.at("a").policy;
    };
    CHECK_FALSE(module("").startup_timeout);
    CHECK(module("").shutdown_timeout == 5s);
    CHECK_FALSE(module("a: {startup: {}}").startup_timeout);
    CHECK(module("'*': {startup: {timeout: 9}}, Thing: {startup: {timeout: 2.5}}").startup_timeout == 2500ms);
    CHECK(module("'*': {shutdown: {timeout: 9}}, a: {startup: {timeout: 3}}").shutdown_timeout == 9s);
    CHECK(module("a: {shutdown: {timeout: 0.1}}").shutdown_timeout == 100ms);
    CHECK_FALSE(module("a: {shutdown: {timeout: 9}}").request_timeout);
    CHECK(module("a: {shutdown: {request_timeout: 2}}").request_timeout == 2s);
    const std::vector<std::pair<std::string, std::string>> mistakes{
        {"startup: {timout: 3}", "did you mean `timeout`?"},
        {"shutdown: {tiemout: 3}", "did you mean `timeout`?"},
        {"shutdwn: {timeout: 3}", "did you mean `shutdown`?"},
        {"start_up: {timeout: 3}", "did you mean `startup`?"},
        {"startup: 30", "write startup: {timeout: 30}"},
        {"shutdown: [3]", "write shutdown: {timeout: 10}"},
        {"startup: {timeout: 0}", "`timeout` must be seconds, from 0.1 to 86400"},
        {"shutdown: {timeout: -1}", "`timeout` must be seconds, from 0.1 to 86400"},
        {"shutdown: {timeout: 86401}", "`timeout` must be seconds, from 0.1 to 86400"},
        {"shutdown: {timeout: 10s}", "without quotes and without a unit"},
        {"startup: {timeout: }", "`timeout` must be seconds"},
    };
    for (const auto& [value, message] : mistakes) {
        INFO(value);
        prefix.write("etc/everest/belay.yaml", "modules: {a: {" + value + "}}\n");
        CHECK_FALSE(prefix.load(text));
        CHECK(prefix.diagnostics.all().size() == 1);
        CHECK_THAT(prefix.text(), Catch::Contains(message) && Catch::Contains("belay.yaml:1:"));
    }
}
