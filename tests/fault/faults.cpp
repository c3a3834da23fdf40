// SPDX-License-Identifier: Apache-2.0
//
// Every system call between fork and exec fails once with each of four errors: the program does not run and the right
// stage is named, or it runs with exactly its plan.
#include "launcher/capability_sets.hpp"
#include "launcher/denied_calls.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/io_priority.hpp"
#include "launcher/landlock.hpp"
#include "launcher/seccomp_filter.hpp"
#include "launcher/spawn.hpp"
#include "launcher/stages.hpp"
#include "launcher/status_channel.hpp"
#include "tests/fault/tally.hpp"
#include "tests/fault/tracer.hpp"
#include "tests/launcher/plans.hpp"
#include "tests/launcher/strict.hpp"
#include "tests/root.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <set>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/prctl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belay;
using namespace belay::launcher;
using belay::fault::injected_errors;
using belay::fault::Injection;
using belay::fault::normalised;
using belay::fault::Section;
using belay::fault::SystemCall;
using belay::fault::Tally;
using belay::fault::Trace;

namespace {

/// The calls of one stage; prctl(2) by its option.
struct CallsOf
{
    StageId stage;
    std::set<long> numbers;
    std::set<unsigned long> options;

    [[nodiscard]] bool contain(const SystemCall& call) const
    {
        return call.number == SYS_prctl ? options.contains(call.first) : numbers.contains(call.number);
    }
};

const std::vector<CallsOf>& calls_by_stage()
{
    static const std::vector<CallsOf> result{
        {StageId::signals, {SYS_rt_sigaction, SYS_rt_sigprocmask}, {}},
        {StageId::session, {SYS_setsid}, {}},
        {StageId::subreaper, {}, {PR_SET_CHILD_SUBREAPER}},
        {StageId::descriptors,
         {
             SYS_dup3,
             SYS_close_range,
#ifdef SYS_dup2
             SYS_dup2,
#endif
         },
         {}},
        {StageId::limits, {SYS_prlimit64, SYS_umask}, {}},
        {StageId::priorities,
         {SYS_openat, SYS_write, SYS_close, SYS_sched_setaffinity, SYS_sched_setscheduler, SYS_setpriority,
          SYS_ioprio_set},
         {}},
        {StageId::keyring, {SYS_keyctl}, {}},
        {StageId::namespaces, {SYS_unshare, SYS_socket, SYS_ioctl, SYS_close}, {}},
        {StageId::mounts,
         {
             SYS_newfstatat,
             SYS_socket,
             SYS_ioctl,
             SYS_close,
             SYS_mount,
             SYS_mount_setattr,
             SYS_open_tree,
             SYS_move_mount,
             SYS_umask,
             SYS_openat,
             SYS_mkdirat,
             SYS_symlinkat,
#ifdef SYS_mkdir
             SYS_mkdir,
             SYS_symlink,
             SYS_stat,
#endif
         },
         {}},
        {StageId::groups, {SYS_setgroups}, {}},
        {StageId::group_id, {SYS_setresgid}, {}},
        {StageId::bounding_set, {}, {PR_CAPBSET_READ, PR_CAPBSET_DROP}},
        {StageId::user_id, {SYS_setresuid}, {PR_SET_KEEPCAPS}},
        {StageId::capabilities, {SYS_capset}, {}},
        {StageId::ambient_set, {}, {PR_CAP_AMBIENT}},
        {StageId::securebits, {}, {PR_SET_SECUREBITS, PR_SET_KEEPCAPS}},
        {StageId::final_capabilities, {SYS_capset}, {}},
        {StageId::working_directory, {SYS_chdir}, {}},
        {StageId::no_new_privileges, {}, {PR_SET_NO_NEW_PRIVS}},
        {StageId::parent_death, {SYS_getppid}, {PR_SET_PDEATHSIG}},
        {StageId::landlock,
         {
             SYS_landlock_create_ruleset,
             SYS_openat,
             SYS_newfstatat,
             SYS_landlock_add_rule,
             SYS_landlock_restrict_self,
             SYS_close,
#ifdef SYS_fstat
             SYS_fstat,
#endif
         },
         {}},
    };
    return result;
}

/// The stage each call belongs to, from their order alone.
std::vector<StageId> stages_of(const std::vector<SystemCall>& calls)
{
    const auto& table = calls_by_stage();
    std::vector<StageId> result;
    auto at = table.begin();
    bool confined = false;
    for (const auto& call : calls) {
        const auto next = std::find_if(at, table.end(), [&](const CallsOf& stage) { return stage.contain(call); });
        if (call.number == SYS_execveat)
            result.push_back(StageId::execution);
        else if (call.number == SYS_seccomp || call.number == SYS_sendmsg)
            result.push_back(StageId::system_call_filter);
        else if (confined || next == table.end())
            result.push_back(StageId::verification);
        else
            result.push_back((at = next)->stage);
        confined = confined || result.back() == StageId::verification || call.number == SYS_landlock_restrict_self;
    }
    return result;
}

/// Executed or failed; a listener goes to `denied`.
Status last_status(const Spawned& spawned, DeniedCalls& denied)
{
    pollfd entry{spawned.status.get(), POLLIN, 0};
    for (;;) {
        ::poll(&entry, 1, -1);
        auto status = receive_status(spawned.status.get());
        if (status.kind == Status::Kind::listener)
            denied.watch(std::move(status.listener));
        else if (status.kind != Status::Kind::nothing)
            return status;
    }
}

/// The parent's side of one start: the program's report, or the failed stage, goes to `output`.
int start_and_report(const ProcessPlan& plan, uid_t user, int output)
{
    const FileDescriptor program{::open(plan.program.c_str(), O_PATH | O_CLOEXEC)}; // wherever the build tree is
    if (user != 0 && (::setresgid(user, user, user) != 0 || ::setresuid(user, user, user) != 0))
        return 3;
    ::dup2(output, STDERR_FILENO);
    auto filters = filters_of(plan, plan.capabilities);
    if (!filters)
        return 3;
    PreparedStart prepared{plan, *filters};
    const FileDescriptor null_device{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    prepared.start().program = program.get();
    prepared.start().null_device = null_device.get();
    prepared.start().parent = ::getpid();
    const auto spawned = spawn(prepared.start(), false);
    if (!spawned)
        return 3;
    DeniedCalls denied;
    const auto said = last_status(*spawned, denied);
    int status = 0;
    while (::waitpid(spawned->pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (said.kind == Status::Kind::failed)
        ::dprintf(output, "failed %u %d\n", static_cast<unsigned>(said.failure.stage), said.failure.error);
    else if (denied.watched() != (plan.system_call_policy == SystemCallPolicy::allow_list))
        ::dprintf(output, "nobody watches its system calls\n");
    return 0;
}

/// `failed STAGE ERRNO`, or nothing.
std::optional<StageFailure> reported(const std::string& output)
{
    StageFailure failure;
    unsigned stage = 0;
    if (std::sscanf(output.c_str(), "failed %u %d", &stage, &failure.error) != 2)
        return std::nullopt;
    failure.stage = static_cast<StageId>(stage);
    return failure;
}

/// Some calls do not stop at an error (umask(2) has none): the verification finds what is missing.
bool names_the_right_stage(const StageFailure& failure, StageId expected)
{
    constexpr std::array found_later{StageId::bounding_set, StageId::limits, StageId::mounts};
    return failure.stage == expected ||
           (failure.stage == StageId::verification &&
            std::find(found_later.begin(), found_later.end(), expected) != found_later.end());
}

void attack_start(const std::string& name, const ProcessPlan& plan, uid_t user = 0)
{
    need_root();
    const Section section{};
    const auto body = [&](int output) { return start_and_report(plan, user, output); };
    const auto baseline = trace(section, std::nullopt, body);
    REQUIRE(baseline.complete);
    const auto expected = normalised(baseline.output);
    REQUIRE_THAT(expected, Catch::Contains("leads_its_session"));
    const auto stages = stages_of(baseline.calls);
    Tally tally{name};
    for (std::size_t i = 0; i < baseline.calls.size(); ++i) {
        const auto stage = stages[i];
        for (const int error : injected_errors) {
            INFO("call " << i << " (" << baseline.calls[i].number << ", " << baseline.calls[i].first << "), error "
                         << error);
            const auto traced = trace(section, Injection{i, error}, body);
            REQUIRE(traced.injected);
            const auto failure = reported(traced.output);
            const bool ran = !failure && !traced.output.empty();
            const auto found = normalised(traced.output);
            INFO(fault::difference(expected, found));
            CHECK_FALSE((ran && found != expected));
            tally.note(describe(stage), ran && found != expected, ran);
            if (failure)
                CHECK(names_the_right_stage(*failure, stage));
        }
    }
    CHECK(tally.print() == 0);
}

std::vector<std::string> report_program()
{
    return {BELAY_REPORT};
}

/// Every part of a plan is used.
ProcessPlan rich(CapabilityMask capabilities)
{
    auto plan = unprivileged(report_program(), capabilities);
    plan.limits = {{RLIMIT_NOFILE, 77, 78}, {RLIMIT_CORE, 0, 0}};
    execute_only(plan, {"/usr", "/lib", "/lib64", std::filesystem::path{BELAY_REPORT}.parent_path()});
    return plan;
}

} // namespace

TEST_CASE("a start without capabilities")
{
    attack_start("no capability", rich(0));
}

TEST_CASE("a start with one capability")
{
    attack_start("CAP_NET_RAW", rich(capability(CAP_NET_RAW)));
}

TEST_CASE("a start with many capabilities")
{
    attack_start("eight capabilities",
                 rich(capability(CAP_NET_RAW) | capability(CAP_NET_ADMIN) | capability(CAP_SYS_NICE) |
                      capability(CAP_SYS_TIME) | capability(CAP_CHOWN) | capability(CAP_IPC_LOCK) |
                      capability(CAP_SYS_TTY_CONFIG) | capability(CAP_WAKE_ALARM)));
}

/// Every part of the sandbox is on.
ProcessPlan confined()
{
    constexpr std::uint64_t everything = ~std::uint64_t{0};
    constexpr std::uint64_t run =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    using Kind = MountStep::Kind;
    auto plan = rich(capability(CAP_NET_RAW));
    plan.priorities = {.nice = 3,
                       .policy = SCHED_BATCH,
                       .static_priority = 0,
                       .cpus = {0},
                       .io = io_priority(io_best_effort, 6),
                       .oom_score_adj = 321};
    plan.network = Network::loopback;
    plan.mounts = {{Kind::read_only, "/", {}},
                   {Kind::writable, "/proc", {}},
                   {Kind::temporary, "/tmp", "mode=1777,size=1M"},
                   {Kind::devices, "/dev", {}}};
    plan.devices = {"/dev/net/tun"};
    plan.landlock.handled_fs = plan.landlock.handled_net = everything;
    plan.landlock.ports = {{45735, landlock_bind_tcp}};
    for (auto& rule : plan.landlock.paths)
        rule.access = run;
    plan.landlock.paths.push_back({"/proc", run});
    plan.landlock.paths.push_back({"/dev/null", run | LANDLOCK_ACCESS_FS_WRITE_FILE});
    allow_strictly(plan);
    return plan;
}

TEST_CASE("a start with every part of the sandbox")
{
    attack_start("sandbox", confined());
}

TEST_CASE("a start with an allow list of system calls")
{
    auto plan = rich(capability(CAP_NET_RAW));
    allow_strictly(plan);
    attack_start("allow list", plan);
}

TEST_CASE("a start as root with declared capabilities")
{
    auto plan = plan_for(report_program());
    plan.privileges = Privileges::exact;
    plan.capabilities = capability(CAP_NET_RAW);
    attack_start("root with CAP_NET_RAW", plan);
}

TEST_CASE("a start without root")
{
    constexpr uid_t nobody = 65534;
    auto plan = plan_for(report_program());
    plan.privileges = Privileges::exact_without_setpcap;
    plan.uid = nobody;
    plan.gid = nobody;
    attack_start("no root", plan, nobody);
}
