// SPDX-License-Identifier: Apache-2.0
//
// belay.yaml: what each key leads to in the plan, and what is said of each mistake.
#include "launcher/io_priority.hpp"
#include "launcher/landlock.hpp"
#include "tests/config/prefix.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>

#include <linux/landlock.h>
#include <sched.h>

using namespace belay;
using namespace belay::config;
using Kind = launcher::MountStep::Kind;

namespace {

const std::string text = "settings: {run_as_user: daemon, mqtt_broker_socket_path: /run/m.sock}\n"
                         "active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n";

struct Planned
{
    explicit Planned(const std::string& belay_yaml, const std::string& configuration = text,
                     const launcher::Delegation& delegation = {"/sys/fs/cgroup/b", {"cpu", "memory", "pids"}})
    {
        options.root = true;
        options.landlock_abi = 7;
        options.delegation = delegation;
        options.held = ~launcher::CapabilityMask{0};
        prefix.write("etc/everest/belay.yaml", belay_yaml);
        const auto loaded = prefix.load(configuration);
        INFO(belay_yaml << '\n' << prefix.text());
        REQUIRE(loaded);
        plan = make_plan(*loaded, options, prefix.diagnostics);
    }

    launcher::ProcessPlan& module()
    {
        INFO(prefix.text());
        REQUIRE(plan);
        return plan->modules.at(0);
    }

    Prefix prefix;
    PlanOptions options;
    std::optional<launcher::LaunchPlan> plan;
};

std::string modules(const std::string& policy)
{
    return "modules: {a: {" + policy + "}}\n";
}

std::uint64_t access_to(const launcher::ProcessPlan& process, const std::string& path)
{
    std::uint64_t result = 0;
    for (const auto& rule : process.landlock.paths)
        result |= rule.path == path ? rule.access : 0;
    return result;
}

} // namespace

TEST_CASE("priorities and control groups by systemd's names")
{
    Planned planned{
        modules("limits: {Nice: -5, CPUSchedulingPolicy: rr, CPUSchedulingPriority: 10, CPUAffinity: [0, 2], "
                "IOSchedulingClass: idle, OOMScoreAdjust: -900, MemoryMax: 64M, MemoryHigh: infinity, "
                "TasksMax: 20, CPUWeight: 50, CPUQuota: 150%}")};
    const auto& process = planned.module();
    CHECK(process.priorities.nice == -5);
    CHECK(process.priorities.policy == SCHED_RR);
    CHECK(process.priorities.static_priority == 10);
    CHECK(process.priorities.cpus == std::vector<std::uint32_t>{0, 2});
    CHECK(process.priorities.io == io_priority(io_idle, 0));
    CHECK(process.priorities.oom_score_adj == -900);
    CHECK(process.cgroup == std::vector<launcher::CgroupSetting>{{"cpu.max", "150000 100000"},
                                                                 {"cpu.weight", "50"},
                                                                 {"memory.high", "max"},
                                                                 {"memory.max", "67108864"},
                                                                 {"pids.max", "20"},
                                                                 {"memory.oom.group", "1"}});
    CHECK(Planned{modules("limits: {MemoryMax: 4294967296}")}.module().cgroup.at(0) ==
          launcher::CgroupSetting{"memory.max", "4294967296"});
    CHECK(Planned{modules("limits: {IOSchedulingPriority: 2}")}.module().priorities.io ==
          io_priority(io_best_effort, 2));
}

TEST_CASE("what no control group is delegated for has no effect, and that is said")
{
    const auto limits =
        modules("limits: {MemoryMax: 64M, TasksMax: 20, Nice: 3}") + "manager: {limits: {CPUWeight: 50}}\n";
    Planned whole{limits};
    CHECK(whole.module().cgroup == std::vector<launcher::CgroupSetting>{
                                       {"memory.max", "67108864"}, {"pids.max", "20"}, {"memory.oom.group", "1"}});
    CHECK(whole.plan->cgroup == "/sys/fs/cgroup/b");
    CHECK_THAT(
        whole.prefix.text(),
        Catch::Contains("without effect: `CPUWeight` of `manager`: the manager has no control group of its own"));
    CHECK_THAT(whole.prefix.text(), !Catch::Contains("MemoryMax"));
    Planned partly{limits, text, {"/sys/fs/cgroup/b", {"pids"}}};
    CHECK(partly.module().cgroup == std::vector<launcher::CgroupSetting>{{"pids.max", "20"}});
    CHECK_THAT(partly.prefix.text(),
               Catch::Contains("without effect: `MemoryMax` of `a`: the controller `memory` is not in "
                               "/sys/fs/cgroup/b/cgroup.controllers") &&
                   Catch::Contains("cgroup_enable=memory"));
    Planned none{limits, text, {}};
    CHECK(none.module().cgroup.empty());
    CHECK(none.module().priorities.nice == 3);
    CHECK(none.plan->cgroup.empty());
    CHECK_THAT(
        none.prefix.text(),
        Catch::Contains("without effect: `MemoryMax`, `TasksMax` of `a`: no control group is delegated to Belay") &&
            Catch::Contains("Delegate=yes"));
    Planned several{"modules: {'*': {limits: {TasksMax: 20}}, b: {limits: {MemoryMax: 64M}}}\n",
                    text + "  b: {module: Thing, config_module: {level: 2}}\n"
                           "  c: {module: Thing, config_module: {level: 2}}\n",
                    {}};
    CHECK_THAT(several.prefix.text(),
               Catch::Contains("without effect: `MemoryMax`, `TasksMax` of `b`, `TasksMax` of `a`, `c`: no control"));
    CHECK(several.prefix.diagnostics.count(Severity::warning) == 1);
}

TEST_CASE("each key is taken from the most specific entry that has it")
{
    Planned planned{"modules:\n"
                    "  '*': {limits: {Nice: 1, LimitNOFILE: 64}, sandbox: {private_tmp: true}}\n"
                    "  Thing: {limits: {Nice: 2}}\n"
                    "  a: {sandbox: {landlock: strict}}\n"};
    const auto& process = planned.module();
    CHECK(process.priorities.nice == 2);
    REQUIRE(process.limits.size() == 2); // the other one is LimitNPROC's default
    CHECK(process.limits[0] == launcher::ResourceLimit{RLIMIT_NOFILE, 64, 64});
    CHECK(process.mounts.size() == 2);
    CHECK(process.landlock.handled_net != 0);
}

TEST_CASE("strict allows what every program needs, what is listed, and the broker")
{
    Planned planned{modules("sandbox: {landlock: strict, read: [/etc/hostname], write: [/var/tmp], execute: [/srv], "
                            "devices: [/dev/null], connect: [443], bind: [8080], seccomp: strict, "
                            "system_calls: ['@mount']}")};
    const auto& process = planned.module();
    CHECK(process.landlock.isolate);
    CHECK(process.landlock.handled_fs == ~std::uint64_t{0});
    CHECK(access_to(process, "/usr") ==
          (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE));
    CHECK(access_to(process, "/etc/hostname") == (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR));
    CHECK((access_to(process, "/var/tmp") & LANDLOCK_ACCESS_FS_MAKE_REG) != 0);
    CHECK((access_to(process, "/srv") & LANDLOCK_ACCESS_FS_EXECUTE) != 0);
    CHECK((access_to(process, "/dev/null") & launcher::landlock_ioctl_device) != 0);
    for (const auto* path : {"/", "/home", "/tmp", "/etc", "/var", "/dev"})
        CHECK(access_to(process, path) == 0);
    CHECK(process.landlock.ports ==
          std::vector<launcher::PortRule>{{8080, launcher::landlock_bind_tcp}, {443, launcher::landlock_connect_tcp}});
    CHECK(process.system_call_policy == launcher::SystemCallPolicy::allow_list);
    CHECK_FALSE(process.system_calls.empty());
    const std::string tcp = "settings: {run_as_user: daemon}\nactive_modules:\n  a:\n    module: Thing\n    "
                            "config_module: {level: 2}\n";
    Planned by_tcp{modules("sandbox: strict"), tcp};
    CHECK(by_tcp.module().landlock.ports == std::vector<launcher::PortRule>{{1883, launcher::landlock_connect_tcp}});
}

TEST_CASE("namespaces where asked for")
{
    CHECK(Planned{""}.module().mounts.empty());
    Planned planned{modules("sandbox: {protect_system: true, write: [/var/tmp], private_tmp: true, network: loopback, "
                            "devices: [/dev/null, /dev/ptmx, /dev/ptmx]}")};
    const auto& process = planned.module();
    CHECK(process.mounts == std::vector<launcher::MountStep>{{Kind::read_only, "/", ""},
                                                             {Kind::writable, "/proc", ""},
                                                             {Kind::writable, "/dev", ""},
                                                             {Kind::writable, "/var/tmp", ""},
                                                             {Kind::temporary, "/tmp", "mode=1777,size=10%"},
                                                             {Kind::temporary, "/var/tmp", "mode=1777,size=10%"},
                                                             {Kind::devices, "/dev", ""}});
    CHECK(process.network == launcher::Network::loopback);
    CHECK(process.devices == std::vector<std::string>{"/dev/ptmx"}); // every process gets the others
}

TEST_CASE("a user of its own, by name, number or dynamically, and groups added")
{
    CHECK(Planned{modules("user: nobody")}.module().uid == 65534);
    CHECK(Planned{modules("user: 65534")}.module().uid == 65534);
    Planned planned{modules("user: dynamic, groups: [tty]")};
    const auto& process = planned.module();
    CHECK(process.uid >= 61184);
    CHECK(process.uid <= 65519);
    CHECK(process.gid == process.uid);
    CHECK(process.change_identity);
    const auto has = [&](gid_t group) {
        return std::find(process.groups.begin(), process.groups.end(), group) != process.groups.end();
    };
    CHECK(has(process.gid));
    CHECK(has(5)); // tty
    CHECK(has(planned.plan->manager.gid));
    CHECK(Planned{modules("user: dynamic")}.module().uid == process.uid); // the same each time
    Planned two{"modules: {'*': {user: dynamic}}\n", text + "  b:\n    module: Thing\n    config_module: {level: 2}\n"};
    CHECK(two.module().uid != two.plan->modules.at(1).uid);
    // Without run_as_user, too, files that others can write decide nothing.
    Planned without{modules("user: nobody"),
                    "active_modules:\n  a:\n    module: Thing\n    config_module: {level: 2}\n"};
    CHECK(without.module().privileges == launcher::Privileges::exact);
    CHECK(without.plan->trust_rule);
    Planned manager{"manager: {user: nobody, limits: {Nice: -3}}\n"};
    CHECK(manager.plan->manager.uid == 65534);
    CHECK(manager.plan->manager.priorities.nice == -3);
}

TEST_CASE("new privileges are an explicit choice with a warning")
{
    Planned planned{modules("sandbox: {no_new_privileges: false}")};
    const auto& process = planned.module();
    CHECK_FALSE(process.no_new_privileges);
    CHECK(process.privileges == launcher::Privileges::exact_without_setpcap);
    CHECK(process.landlock == launcher::LandlockPlan{});
    CHECK(process.system_call_policy == launcher::SystemCallPolicy::any);
    CHECK_THAT(planned.prefix.text(), Catch::Contains("belay.yaml:1:") && Catch::Contains("may become root"));
}

TEST_CASE("what an older kernel lacks is said, and is an error where it is required")
{
    Planned planned{modules("sandbox: {landlock: strict, require: true}")};
    auto configuration = planned.prefix.load(text);
    REQUIRE(configuration);
    planned.options.landlock_abi = 3;
    CHECK_FALSE(make_plan(*configuration, planned.options, planned.prefix.diagnostics));
    CHECK_THAT(planned.prefix.text(), Catch::Contains("requires its sandbox, but this kernel's Landlock (ABI 3)") &&
                                          Catch::Contains("does not restrict TCP ports") &&
                                          Catch::Contains("ioctl(2)") && !Catch::Contains("truncation"));
    planned.options.landlock_abi = 7;
    CHECK(make_plan(*configuration, planned.options, planned.prefix.diagnostics));
}

TEST_CASE("a mistake in belay.yaml is named with its line, and nothing is loaded")
{
    const std::vector<std::pair<std::string, std::string>> mistakes{
        {"usr: x", "did you mean `user`?"},
        {"user: root", "other than root"},
        {"user: [a]", "other than root"},
        {"groups: dialout", "write [dialout]"},
        {"groups: {}", "write [] for none"},
        {"capabilities: CAP_NET_RAW", "write [CAP_NET_RAW]"},
        {"sandbox: {landlock: strict, connect: 443}", "write [443]"},
        {"limits: {CPUAffinity: []}", "write [0, 1]"},
        {"liveness: 20", "write liveness: {stuck_after: 20}"},
        {"groups: [1, {}]", "`groups` must be a list of names"},
        {"limits: {Nise: 1}", "did you mean `Nice`?"},
        {"limits: {Nice: 20}", "`Nice` must be a whole number from -20 to 19"},
        {"limits: {Nice: low}", "`Nice` must be a whole number"},
        {"limits: {CPUSchedulingPolicy: fife}", "did you mean `fifo`?"},
        {"limits: {CPUSchedulingPolicy: fifo}", "needs a `CPUSchedulingPriority`"},
        {"limits: {CPUSchedulingPriority: 5}", "has no effect without"},
        {"limits: {CPUAffinity: 0}", "`CPUAffinity` must be a list"},
        {"limits: {CPUAffinity: [5000]}", "from 0 to 1023"},
        {"limits: {IOSchedulingClass: best}", "`IOSchedulingClass` must be `realtime`, `best-effort` or `idle`"},
        {"limits: {OOMScoreAdjust: 1001}", "from -1000 to 1000"},
        {"limits: {MemoryMax: 0}", "`MemoryMax` is no valid limit"},
        {"limits: {MemoryMax: much}", "write bytes, 16M, or infinity"},
        {"limits: {TasksMax: 10K}", "`TasksMax` is no valid limit"},
        {"limits: {CPUQuota: 50}", "as 50% or 200%"},
        {"limits: {CPUWeight: 0}", "from 1 to 10000"},
        {"environment: [A=1]", "write environment: {NAME: value}"},
        {"environment: {1A: x}", "`1A` is not the name of a variable"},
        {"environment: {A-B: x}", "use letters, digits and _"},
        {"environment: {A: }", "the value of `A` must be a text"},
        {"environment: {A: [x]}", "write \"\" for an empty one"},
        {"environment: {A: \"x\\0y\"}", "a text must not contain the NUL character"},
        {"environment: {EV_MODULE: x}", "`EV_MODULE` is set by the manager"},
        {"environment: {HOME: /x}", "`HOME` is set by the manager"},
        {"pass_environment: A", "`pass_environment` must be a list"},
        {"pass_environment: [A=1]", "`A=1` is not the name of a variable"},
        {"pass_environment: [NOTIFY_SOCKET]", "`NOTIFY_SOCKET` is set by the manager"},
        {"pass_environment: [WATCHDOG_USEC]", "`WATCHDOG_USEC` is set by the manager"},
        {"sandbox: stric", "did you mean `strict`?"},
        {"sandbox: {landlock: on}", "`landlock` must be `standard`, `strict` or `off`"},
        {"sandbox: {privat_tmp: true}", "did you mean `private_tmp`?"},
        {"sandbox: {private_tmp: 1}", "`private_tmp` must be true or false"},
        {"sandbox: {network: none}", "`network` must be `host`, `loopback` or `off`"},
        {"sandbox: {devices: [/dev/null, /etc/passwd]}", "`/etc/passwd` is not below /dev"},
        {"sandbox: {landlock: strict, read: [etc]}", "`etc` is not an absolute path"},
        {"sandbox: {landlock: strict, write: [/a/../etc]}", "without `..`"},
        {"sandbox: {landlock: strict, connect: [0]}", "from 1 to 65535"},
        {"sandbox: {seccomp: strict, system_calls: [mout]}", "did you mean `mount`?"},
        {"sandbox: {system_calls: [mount]}", "`system_calls` has no effect without `seccomp: strict`"},
        {"sandbox: {read: [/etc]}", "have no effect without `landlock: strict`"},
        {"sandbox: {write: [/var]}", "`write` has no effect without"},
        {"sandbox: {bind: [80]}", "have no effect without `landlock: strict`"},
        {"sandbox: {no_new_privileges: false, seccomp: strict}", "contradicts `strict`"},
        {"sandbox: {require: maybe}", "`require` must be true or false"},
    };
    Prefix prefix;
    for (const auto& [policy, message] : mistakes) {
        INFO(policy);
        prefix.write("etc/everest/belay.yaml", "\n" + modules(policy));
        CHECK_FALSE(prefix.load(text));
        CHECK_THAT(prefix.text(), Catch::Contains(message) && Catch::Contains("belay.yaml:2:"));
    }
}

TEST_CASE("no restriction is lost to a key that stands twice")
{
    Prefix prefix;
    for (const auto* twice : {"modules:\n  '*': {capabilities: []}\n  \"*\": {limits: {Nice: 1}}\n",
                              "modules: {'*': {capabilities: []}}\nbroker: {}\nmodules: {}\n"}) {
        prefix.write("etc/everest/belay.yaml", twice);
        CHECK_FALSE(prefix.load(text));
        CHECK_THAT(prefix.text(),
                   Catch::Contains("belay.yaml:3:") && Catch::Contains("stands twice, the first time in line"));
    }
    // Whereas EVerest's own files are read as it does.
    prefix.write("etc/everest/belay.yaml", "");
    CHECK(prefix.load(text + "settings: {run_as_user: daemon}\n"));
    CHECK_THAT(prefix.text(), Catch::Contains("warning: the key `settings` stands twice") &&
                                  Catch::Contains("in line 1; the last one counts"));
}

TEST_CASE("a file that was meant to be belay.yaml is not passed over in silence")
{
    Prefix prefix;
    for (const auto* name : {"belay.yml", "Belay.yaml", "BELAY.YML"}) {
        const auto path = std::filesystem::path{"etc/everest"} / name;
        prefix.write(path, "modules: {'*': {capabilities: []}}\n");
        const auto loaded = prefix.load(text);
        REQUIRE(loaded);
        CHECK(loaded->belay_yaml.empty());
        CHECK_THAT(prefix.text(), Catch::Contains(std::string{name} + ": warning: this file is not read") &&
                                      Catch::Contains("rename it to belay.yaml"));
        std::filesystem::remove(prefix.path / path);
    }
    prefix.write("etc/everest/belay.yaml", "");
    prefix.write("etc/everest/user-config/c.yaml", "");
    const auto loaded = prefix.load(text);
    REQUIRE(loaded);
    CHECK(prefix.diagnostics.all().empty());
    CHECK(loaded->belay_yaml == prefix.path / "etc/everest/belay.yaml");
    CHECK(loaded->overlay == prefix.path / "etc/everest/user-config/c.yaml");
}

TEST_CASE("what this machine does not have is named with its line")
{
    for (const auto& [policy, message] : {std::pair{"user: no-such-user", "the user `no-such-user` does not exist"},
                                          {"groups: [no-such-group]", "the group `no-such-group` does not exist"},
                                          {"sandbox: {landlock: strict, read: [/nowhere]}", "`/nowhere`"},
                                          {"sandbox: {devices: [/dev/ttyUSB77]}", "`/dev/ttyUSB77`"}}) {
        INFO(policy);
        Planned planned{modules(policy)};
        CHECK_FALSE(planned.plan);
        CHECK_THAT(planned.prefix.text(), Catch::Contains(message) && Catch::Contains("belay.yaml:1:"));
    }
    Planned network{modules("sandbox: {network: off}"),
                    "settings: {run_as_user: daemon}\nactive_modules:\n  a:\n    module: Thing\n    "
                    "config_module: {level: 2}\n"};
    CHECK_FALSE(network.plan);
    CHECK_THAT(network.prefix.text(),
               Catch::Contains(
                   "belay.yaml:1:34: error: module `a` has `network: off`, and so cannot reach the broker by TCP") &&
                   Catch::Contains("or write `network: host`"));
}
