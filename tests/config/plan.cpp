// SPDX-License-Identifier: Apache-2.0
#include "tests/config/prefix.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

#include <linux/capability.h>
#include <linux/landlock.h>

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

TEST_CASE("belay.yaml adds variables and passes on the manager's, also to a module with privileges")
{
    Prefix prefix;
    PlanOptions options;
    options.root = true;
    options.held = ~launcher::CapabilityMask{0};
    options.environment = {{"PATH", "/nowhere"},          {"HTTPS_PROXY", "passed on"}, {"SSL_CERT_FILE", "/etc/cert"},
                           {"ASAN_OPTIONS", "not named"}, {"PYTHONPATH", "/mine"},      {"LANG", "C"}};
    prefix.write("etc/everest/belay.yaml", "modules:\n"
                                           "  '*':\n"
                                           "    environment: {A: of all, B: of all, HTTPS_PROXY: given}\n"
                                           "    pass_environment: [PATH]\n"
                                           "  Thing: {environment: {B: '', C: 0.50, D: true, PYTHONPATH: /lib/more}}\n"
                                           "  a: {pass_environment: [SSL_CERT_FILE, NOT_SET, HTTPS_PROXY]}\n");
    std::filesystem::remove(prefix.path / "libexec/everest/modules/Thing/Thing");
    prefix.write("libexec/everest/modules/Thing/module.py", "");
    const auto plan = plan_of(prefix, base + "    capabilities: [CAP_NET_RAW]\n", options);
    INFO(prefix.text());
    REQUIRE(plan);
    std::vector<std::string> found;
    for (const auto& entry : plan->modules.at(0).environment)
        if (!entry.starts_with("EV_"))
            found.push_back(entry);
    CHECK(found == std::vector<std::string>{
                       "A=of all", "B=", "C=0.50", "D=true", "HTTPS_PROXY=given", "LANG=C",
                       "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONNOUSERSITE=1",
                       "PYTHONPATH=" + (prefix.path / "lib/everest/everestpy").string() + ":/lib/more",
                       "SSL_CERT_FILE=/etc/cert"});
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
        CHECK_FALSE(prefix.load(base + "    capabilities: [" + name + "]\n"));
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
    REQUIRE(plan->modules[0].limits.size() == 1);
    const auto& processes = plan->modules[0].limits[0];
    CHECK(processes.resource == RLIMIT_NPROC);
    CHECK(processes.soft == processes.hard);
    CHECK((processes.hard > 100 && processes.hard <= 2048));
    prefix.write("etc/everest/belay.yaml", "modules: {a: {limits: {LimitNPROC: '64:infinity'}}}\n");
    const auto limited = plan_of(prefix, "settings: {run_as_user: daemon}\n" + base, options);
    REQUIRE(limited);
    CHECK(limited->modules[0].limits == std::vector<launcher::ResourceLimit>{{RLIMIT_NPROC, 64, RLIM_INFINITY}});
    CHECK_FALSE(plan_of(prefix, "settings: {run_as_user: no-such-user}\n" + base, options));
    CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:1:"));
    options.root = false;
    CHECK_FALSE(plan_of(prefix, "settings: {run_as_user: daemon}\n" + base, options));
}

TEST_CASE("Python and JavaScript modules get their variables, and nothing of the manager's own")
{
    Prefix prefix;
    namespace fs = std::filesystem;
    const fs::path module = "libexec/everest/modules/Thing";
    fs::remove(prefix.path / module / "Thing");
    prefix.write(module / "module.py", "");
    for (const auto* program : {"python3", "node"}) {
        prefix.write(fs::path{"bin"} / program, "#!/bin/sh\n");
        fs::permissions(prefix.path / "bin" / program, fs::perms{0755});
    }
    PlanOptions options;
    options.environment = {{"PATH", (prefix.path / "bin").string()},
                           {"EV_MODULE", "other"},
                           {"EV_PREFIX", "other"},
                           {"EV_MQTT_BROKER_SOCKET_PATH", "other"},
                           {"EV_ANYTHING", "other"},
                           {"PYTHONHOME", "other"},
                           {"PYTHONPATH", "/mine"}};
    const auto variable = [](const launcher::ProcessPlan& process, const std::string& name) {
        for (const auto& entry : process.environment)
            if (entry.starts_with(name + '='))
                return entry.substr(name.size() + 1);
        return std::string{"unset"};
    };
    const auto first = [&] {
        const auto plan = plan_of(prefix, base, options);
        INFO(prefix.text());
        REQUIRE(plan);
        return plan->modules.at(0);
    };
    auto process = first();
    CHECK(process.program == "/bin/sh"); // its python3 is a wrapper script
    CHECK(process.arguments == std::vector<std::string>{"/bin/sh", (prefix.path / "bin/python3").string(),
                                                        (prefix.path / module / "module.py").string()});
    CHECK(variable(process, "EV_MODULE") == "a");
    CHECK(variable(process, "EV_PREFIX") == prefix.path.string());
    CHECK(variable(process, "EV_MQTT_BROKER_HOST") == "localhost");
    CHECK(variable(process, "EV_MQTT_BROKER_PORT") == "1883");
    CHECK(variable(process, "EV_MQTT_EVEREST_PREFIX") == "everest/");
    CHECK(variable(process, "PYTHONPATH") == (prefix.path / "lib/everest/everestpy:/mine").string());
    for (const auto* name : {"EV_ANYTHING", "PYTHONHOME", "EV_MQTT_BROKER_SOCKET_PATH", "EV_VALIDATE_SCHEMA"})
        CHECK(variable(process, name) == "unset");

    const auto venv = module / ".venv";
    prefix.write(venv / "bin/python3", "#!/bin/sh\n");
    fs::permissions(prefix.path / venv / "bin/python3", fs::perms{0755});
    fs::create_directories(prefix.path / "lib64/everest/everestpy");
    process = first();
    CHECK(process.arguments.at(1) == (prefix.path / venv / "bin/python3").string());
    CHECK(variable(process, "VIRTUAL_ENV") == (prefix.path / venv).string());
    CHECK(variable(process, "VIRTUAL_ENV_PROMPT") == "venv");
    CHECK(variable(process, "PATH") == (prefix.path / venv / "bin").string() + ':' + (prefix.path / "bin").string());
    CHECK(variable(process, "PYTHONPATH") == (prefix.path / "lib64/everest/everestpy:/mine").string());

    prefix.write(module / "index.js", ""); // comes before module.py
    process = first();
    CHECK(process.arguments.at(2) == "--unhandled-rejections=strict");
    CHECK(variable(process, "NODE_PATH") == (prefix.path / "lib/everest/node_modules").string());
    options.environment["PATH"] = "/nowhere";
    CHECK_FALSE(plan_of(prefix, base, options));
    CHECK_THAT(prefix.text(), Catch::Contains("node is not in /nowhere"));
}

TEST_CASE("a module with capabilities does not take its interpreter from the caller's PATH")
{
    Prefix prefix;
    std::filesystem::remove(prefix.path / "libexec/everest/modules/Thing/Thing");
    prefix.write("libexec/everest/modules/Thing/module.py", "");
    PlanOptions options;
    options.root = true;
    options.held = ~launcher::CapabilityMask{0};
    options.environment = {{"PATH", "/nowhere"}, {"PYTHONPATH", "/mine"}, {"LD_LIBRARY_PATH", "/mine"}};
    const auto plan = plan_of(prefix, base + "    capabilities: [CAP_NET_RAW]\n", options);
    INFO(prefix.text());
    REQUIRE(plan);
    for (const auto& entry : plan->modules[0].environment)
        CHECK_THAT(entry, !Catch::Contains("/nowhere") && !Catch::Contains("/mine"));
}

TEST_CASE("limits of belay.yaml reach the plan, the most specific ones")
{
    Prefix prefix;
    PlanOptions options;
    const auto limits = [&](const std::string& modules) {
        prefix.write("etc/everest/belay.yaml", "modules: {" + modules + "}\n");
        const auto plan = plan_of(prefix, base, options);
        INFO(prefix.text());
        REQUIRE(plan);
        std::string result;
        for (const auto& one : plan->modules[0].limits)
            result +=
                std::to_string(one.resource) + '=' + std::to_string(one.soft) + ':' + std::to_string(one.hard) + ' ';
        return result;
    };
    const auto files = std::to_string(RLIMIT_NOFILE) + '=';
    CHECK(limits("'*': {limits: {LimitNOFILE: 64}}") == files + "64:64 ");
    CHECK(limits("'*': {limits: {LimitNOFILE: 64}}, Thing: {limits: {LimitNOFILE: '32:128'}}") == files + "32:128 ");
    CHECK(limits("Thing: {limits: {LimitNOFILE: 64}}, a: {limits: {LimitNOFILE: 16}}") == files + "16:16 ");
    CHECK(limits("a: {capabilities: []}, Thing: {limits: {LimitNOFILE: 64}}") == files + "64:64 ");
    CHECK(limits("a: {limits: {LimitAS: 2G}}") == std::to_string(RLIMIT_AS) + "=2147483648:2147483648 ");
    const auto core = std::to_string(RLIMIT_CORE) + '=';
    CHECK(limits("a: {limits: {LimitCORE: '64K:infinity'}}") == core + "65536:" + std::to_string(RLIM_INFINITY) + ' ');
    CHECK(limits("a: {limits: {LimitCORE: '0:infinity'}}") == core + "1:" + std::to_string(RLIM_INFINITY) + ' ');
    CHECK(limits("a: {limits: {LimitCORE: 0}}") == core + "1:1 ");
    CHECK(limits("a: {limits: {LimitNPROC: 0}}") == std::to_string(RLIMIT_NPROC) + "=0:0 ");
    CHECK(limits("a: {limits: {LimitFSIZE: 2147483648}}") == std::to_string(RLIMIT_FSIZE) + "=2147483648:2147483648 ");
}

TEST_CASE("a standalone ProbeModule is not planned, another one has no program")
{
    Prefix prefix;
    const std::string probe = base + "  p: {module: ProbeModule, standalone: ";
    const auto plan = plan_of(prefix, probe + "true}\n", {});
    REQUIRE(plan);
    CHECK(plan->modules.size() == 1);
    CHECK_FALSE(plan_of(prefix, probe + "false}\n", {}));
    CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:5:15: error: ") && Catch::Contains("set `standalone: true`"));
}

TEST_CASE("what a check may miss on this machine is a warning, what is wrong everywhere an error")
{
    Prefix prefix;
    PlanOptions options;
    options.root = true;
    options.held = ~launcher::CapabilityMask{0};
    options.landlock_abi = 6;
    options.checking = true;
    std::filesystem::remove(prefix.path / "libexec/everest/modules/Thing/Thing");
    CHECK(plan_of(prefix, "settings: {run_as_user: no-such-user}\n" + base, options));
    CHECK(prefix.diagnostics.count(Severity::warning) == 2);
    options.held = 0;
    CHECK_FALSE(plan_of(prefix, base + "    capabilities: [CAP_NET_RAW]\n", options));
}

TEST_CASE("whoever is to become another user does not become root")
{
    Prefix prefix;
    PlanOptions options;
    options.root = true;
    CHECK_FALSE(plan_of(prefix, "settings: {run_as_user: root}\n" + base, options));
    CHECK_THAT(prefix.text(), Catch::Contains("c.yaml:1:25: error: the user `root` is root"));
    prefix.write("etc/everest/belay.yaml", "modules: {a: {user: '00'}}\n");
    CHECK_FALSE(plan_of(prefix, base, options));
    CHECK_THAT(prefix.text(), Catch::Contains("belay.yaml:1:21: error: the user `00` is root"));
}

TEST_CASE("modules are isolated, and what the kernel cannot do is said")
{
    Prefix prefix;
    PlanOptions options;
    options.root = true;
    options.held = ~launcher::CapabilityMask{0};
    const std::string user = "settings: {run_as_user: nobody}\n";
    options.landlock_abi = 6;
    auto plan = plan_of(prefix, user + base, options);
    REQUIRE(plan);
    CHECK(plan->modules[0].landlock.isolate);
    CHECK_THAT(plan->modules[0].landlock.paths,
               Catch::VectorContains(launcher::PathRule{"/usr", LANDLOCK_ACCESS_FS_EXECUTE}));
    CHECK(prefix.diagnostics.all().empty());
    options.landlock_abi = 5;
    plan_of(prefix, user + base, options);
    CHECK_THAT(prefix.text(), Catch::Contains("Landlock (ABI 5) does not keep modules of one user from signalling"));
    options.landlock_abi = 0;
    plan_of(prefix, user + base, options);
    CHECK_THAT(prefix.text(), Catch::Contains("has no Landlock"));
    // Whoever keeps root is not isolated, and nothing is lost.
    plan = plan_of(prefix, base, options);
    REQUIRE(plan);
    CHECK_FALSE(plan->modules[0].landlock.isolate);
    CHECK_THAT(prefix.text(), !Catch::Contains("Landlock"));
}

TEST_CASE("a sandbox is switched off part by part, with a warning for each")
{
    Prefix prefix;
    PlanOptions options;
    options.root = true;
    options.landlock_abi = 6;
    const std::string text = "settings: {run_as_user: nobody}\n" + base;
    const auto sandbox = [&](const std::string& value) {
        prefix.write("etc/everest/belay.yaml", "modules: {a: {sandbox: " + value + "}}\n");
        const auto plan = plan_of(prefix, text, options);
        REQUIRE(plan);
        return std::pair{plan->modules[0].landlock.isolate,
                         plan->modules[0].system_call_policy != launcher::SystemCallPolicy::any};
    };
    CHECK(sandbox("standard") == std::pair{true, true});
    CHECK(prefix.diagnostics.all().empty());
    CHECK(sandbox("'off'") == std::pair{false, false});
    CHECK_THAT(prefix.text(), Catch::Contains("`sandbox` is off for `a`"));
    CHECK(prefix.diagnostics.count(Severity::warning) == 1);
    CHECK(sandbox("{landlock: off}") == std::pair{false, true});
    CHECK_THAT(prefix.text(), Catch::Contains("`landlock` is off for `a`"));
    CHECK(sandbox("{seccomp: off, landlock: standard}") == std::pair{true, false});
    for (const auto& [value, message] : {std::pair{"standart", "did you mean `standard`?"},
                                         {"{landlok: off}", "did you mean `landlock`?"},
                                         {"[]", "must be"}}) {
        INFO(value);
        prefix.write("etc/everest/belay.yaml", std::string{"modules: {a: {sandbox: "} + value + "}}\n");
        CHECK_FALSE(prefix.load(text));
        CHECK_THAT(prefix.text(), Catch::Contains(message));
    }
}

TEST_CASE("the launcher waits for a stop as long as the most patient module's shutdown timeout")
{
    Prefix prefix;
    const auto stop_timeout = [&](const std::string& value) {
        prefix.write("etc/everest/belay.yaml", "modules: {a: {shutdown: {timeout: " + value + "}}}\n");
        const auto plan = plan_of(prefix, base, {});
        REQUIRE(plan);
        return plan->stop_timeout_ms;
    };
    CHECK(stop_timeout("0.5") == 5000);
    CHECK(stop_timeout("30") == 30000);
    CHECK(stop_timeout("86400") == 86400000);
}

TEST_CASE("JavaScript modules of an unprivileged user look for nothing below its home")
{
    Prefix prefix;
    const std::filesystem::path module = "libexec/everest/modules/Thing";
    std::filesystem::remove(prefix.path / module / "Thing");
    PlanOptions options;
    options.root = true;
    const auto has_home = [&] {
        const auto plan = plan_of(prefix, "settings: {run_as_user: daemon}\n" + base, options);
        INFO(prefix.text());
        REQUIRE(plan);
        const auto& environment = plan->modules.at(0).environment;
        return std::any_of(environment.begin(), environment.end(),
                           [](const auto& entry) { return entry.starts_with("HOME="); });
    };
    prefix.write(module / "module.py", "");
    CHECK(has_home()); // PYTHONNOUSERSITE does it
    prefix.write(module / "index.js", "");
    CHECK_FALSE(has_home());
}
