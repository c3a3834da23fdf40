// SPDX-License-Identifier: Apache-2.0
//
// A thousand random plans: what the program reads of itself equals its plan, to the last descriptor.
#include "launcher/capability_sets.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/io_priority.hpp"
#include "launcher/landlock.hpp"
#include "plans.hpp"
#include "starts.hpp"
#include "strict.hpp"
#include "tests/root.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <random>
#include <set>
#include <sstream>

#include <fcntl.h>
#include <linux/securebits.h>
#include <sched.h>

using namespace belay;
using namespace belay::launcher;
using nlohmann::json;

namespace {

constexpr int rounds = 1000;
constexpr unsigned seed = 20261124;

class Random
{
public:
    unsigned below(unsigned limit) { return std::uniform_int_distribution<unsigned>{0, limit - 1}(engine_); }
    bool coin() { return below(2) == 1; }
    CapabilityMask sparse_mask() { return engine_() & engine_() & engine_(); }

private:
    std::mt19937_64 engine_{seed};
};

/// An allow list has what the program needs and, at random, of what else there is.
void restrict_system_calls(ProcessPlan& plan, Random& random)
{
    plan.system_call_policy = static_cast<SystemCallPolicy>(random.below(3));
    if (plan.system_call_policy != SystemCallPolicy::allow_list)
        return;
    std::vector<std::string> more;
    for (const auto& group : config::system_call_groups())
        if (random.coin())
            more.emplace_back(group.name);
    allow_strictly(plan, more);
}

Priorities random_priorities(Random& random)
{
    Priorities result;
    if (random.coin())
        result.nice = static_cast<int>(random.below(40)) - 20;
    if (random.coin())
        result.policy = random.coin() ? SCHED_BATCH : SCHED_OTHER;
    if (!result.policy && random.coin()) {
        result.policy = SCHED_RR;
        result.static_priority = 1 + static_cast<int>(random.below(99));
    }
    if (random.coin())
        result.cpus = {random.below(2)};
    if (random.coin())
        result.io = io_priority(io_best_effort, static_cast<std::int32_t>(random.below(8)));
    if (random.coin())
        result.oom_score_adj = static_cast<int>(random.below(1001));
    return result;
}

std::vector<MountStep> random_mounts(Random& random)
{
    using Kind = MountStep::Kind;
    std::vector<MountStep> result;
    if (random.coin())
        result = {{Kind::read_only, "/", {}}, {Kind::writable, "/proc", {}}};
    if (random.coin())
        result.push_back({Kind::temporary, "/var/tmp", "mode=1777,size=1M"});
    if (random.coin())
        result.push_back({Kind::devices, "/dev", {}});
    return result;
}

/// Readable and executable is what the report takes, and by chance more.
LandlockPlan random_landlock(Random& random)
{
    constexpr std::uint64_t run =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    LandlockPlan result;
    result.isolate = random.coin();
    result.handled_fs = result.handled_net = ~std::uint64_t{0};
    result.paths = {{"/usr", run}, {"/lib", run}, {"/lib64", run}, {"/proc", run}, {BELAY_REPORT, run}};
    if (random.coin())
        result.paths.push_back({"/etc/hostname", LANDLOCK_ACCESS_FS_READ_FILE});
    if (random.coin())
        result.paths.push_back({"/dev/zero", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE});
    if (random.coin())
        result.ports.push_back({45735, landlock_bind_tcp});
    return result;
}

ProcessPlan random_plan(Random& random, CapabilityMask held)
{
    constexpr std::array<mode_t, 4> umasks{0, 0022, 0027, 0077};
    constexpr std::array directories{"/", "/tmp", "/usr/share"};
    auto plan = unprivileged({BELAY_REPORT}, random.below(4) == 0 ? 0 : random.sparse_mask() & held);
    plan.uid = 60000 + random.below(4000);
    plan.gid = 60000 + random.below(4000);
    plan.groups.clear();
    for (unsigned count = random.below(301); count > 0; --count)
        plan.groups.push_back(70000 + random.below(100000));
    plan.umask = umasks.at(random.below(umasks.size()));
    plan.working_directory = directories.at(random.below(directories.size()));
    for (unsigned count = random.below(5); count > 0; --count)
        plan.environment.push_back("NAME" + std::to_string(count) + '=' + std::to_string(random.below(1000)));
    for (unsigned count = random.below(3); count > 0; --count)
        plan.arguments.push_back(std::to_string(random.below(1000)));
    if (random.coin())
        plan.limits.push_back({RLIMIT_NOFILE, 16 + random.below(16), 64 + random.below(1000)});
    if (random.coin())
        plan.limits.push_back({RLIMIT_CORE, 0, random.below(2)});
    restrict_system_calls(plan, random);
    plan.landlock.isolate = random.below(4) != 0;
    if (random.coin())
        execute_only(plan, {"/usr", "/lib", "/lib64", BELAY_REPORT});
    if (random.below(3) == 0)
        plan.landlock = random_landlock(random);
    if (random.below(3) == 0)
        plan.priorities = random_priorities(random);
    if (random.below(3) == 0)
        plan.mounts = random_mounts(random);
    if (random.below(4) == 0)
        plan.network = random.coin() ? Network::none : Network::loopback;
    return plan;
}

std::string ids(unsigned id)
{
    const auto text = std::to_string(id);
    return text + '\t' + text + '\t' + text + '\t' + text;
}

std::string sorted_groups(const ProcessPlan& plan)
{
    std::string result;
    for (const auto group : std::set<gid_t>{plan.groups.begin(), plan.groups.end()})
        result += std::to_string(group) + ' ';
    return result;
}

std::string hex(CapabilityMask mask)
{
    std::ostringstream text;
    text.width(16);
    text.fill('0');
    text << std::hex << mask;
    return text.str();
}

json environment_of(const ProcessPlan& plan)
{
    auto result = json::object();
    for (const auto& entry : plan.environment)
        result[entry.substr(0, entry.find('='))] = entry.substr(entry.find('=') + 1);
    return result;
}

void check_status(const json& status, const ProcessPlan& plan)
{
    CHECK(status["Uid"] == ids(plan.uid));
    CHECK(status["Gid"] == ids(plan.gid));
    CHECK(status.value("Groups", "") == sorted_groups(plan));
    for (const auto* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
        CHECK(status[set] == hex(plan.capabilities));
    CHECK(status["NoNewPrivs"] == "1");
    CHECK(status["Seccomp"] == (plan.system_call_policy == SystemCallPolicy::any ? "0" : "2"));
    CHECK(status["Seccomp_filters"] == std::to_string(static_cast<int>(plan.system_call_policy)));
    for (const auto* set : {"SigBlk", "SigIgn", "SigPnd"})
        CHECK(status[set] == "0000000000000000");
}

void check_priorities(const json& found, const Priorities& wanted)
{
    if (wanted.nice)
        CHECK(found["nice"] == *wanted.nice);
    if (wanted.policy) {
        CHECK(found["policy"] == *wanted.policy);
        CHECK(found["priority"] == wanted.static_priority);
    }
    if (!wanted.cpus.empty())
        CHECK(found["cpus"] == json(wanted.cpus));
    if (wanted.io)
        CHECK(found["io"] == *wanted.io);
    if (wanted.oom_score_adj)
        CHECK(found["oom_score_adj"] == *wanted.oom_score_adj);
}

bool has_mount(const ProcessPlan& plan, MountStep::Kind kind)
{
    return std::any_of(plan.mounts.begin(), plan.mounts.end(),
                       [=](const MountStep& step) { return step.kind == kind; });
}

void check_view(const json& found, const ProcessPlan& plan)
{
    const bool read_only = has_mount(plan, MountStep::Kind::read_only);
    CHECK(found["mounts"]["/"].get<std::string>().starts_with(read_only ? "ro " : "rw "));
    CHECK((found["mounts"].value("/var/tmp", "") == "rw tmpfs") == has_mount(plan, MountStep::Kind::temporary));
    CHECK((found["mounts"]["/dev"] == "rw tmpfs") == has_mount(plan, MountStep::Kind::devices));
    if (plan.network != Network::host)
        CHECK(found["network"] == json{{"lo", plan.network == Network::loopback}});
}

void check_reach(const json& found, const LandlockPlan& plan)
{
    if (plan.handled_net == 0 || landlock_abi() < landlock_ports_abi)
        return;
    const auto listed = [&](const char* path) {
        const auto is = [=](const PathRule& rule) { return rule.path == path; };
        return std::any_of(plan.paths.begin(), plan.paths.end(), is) ? 0 : EACCES;
    };
    CHECK(found["read"] == listed("/etc/hostname"));
    CHECK(found["write"] != 0); // EACCES, or EROFS
    CHECK(found["device"] == listed("/dev/zero"));
    CHECK(found["bind"] == (plan.ports.empty() ? EACCES : 0));
    CHECK(found["bind_another"] == EACCES);
}

void check_report(const json& report, const ProcessPlan& plan)
{
    const auto& around = report["surroundings"];
    check_priorities(around["priorities"], plan.priorities);
    check_view(around, plan);
    check_reach(around["reach"], plan.landlock);
    CHECK(around["subreaper"] == 1);
    check_status(report["status"], plan);
    constexpr unsigned locked = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;
    CHECK(report["securebits"] == locked);
    CHECK(report["umask"] == plan.umask);
    CHECK(report["pdeathsig"] == SIGKILL);
    CHECK(report["cwd"] == plan.working_directory);
    CHECK(report["argv"] == json(plan.arguments));
    CHECK(report["environment"] == environment_of(plan));
    CHECK(report["sid"] == report["pid"]);
    CHECK(report["pgid"] == report["pid"]);
    CHECK(report["descriptors"].size() == 3);
    CHECK(report["descriptors"]["0"] == "/dev/null");
    for (const auto& limit : plan.limits)
        CHECK(report["limits"][limit.resource == RLIMIT_CORE ? "CORE" : "NOFILE"] == json({limit.soft, limit.hard}));
}

} // namespace

TEST_CASE("a program is what its plan says, whatever the plan says")
{
    need_root();
    CapabilitySets own;
    REQUIRE(read_capabilities(own) == 0);
    const FileDescriptor leak{::open("/dev/null", O_RDONLY)};
    Random random;
    for (int round = 0; round < rounds; ++round) {
        INFO("seed " << seed << ", round " << round);
        const auto plan = random_plan(random, own.permitted);
        const auto outcome = start(plan);
        INFO(outcome.output << (outcome.failure ? explain(*outcome.failure) : ""));
        REQUIRE_FALSE(outcome.failure);
        check_report(json::parse(outcome.output), plan);
    }
}
