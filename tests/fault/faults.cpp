// SPDX-License-Identifier: Apache-2.0
//
// Every system call between fork and exec fails once with each of four errors: the program does not run and the right
// stage is named, or it runs with exactly its plan.
#include "launcher/capability_sets.hpp"
#include "launcher/denied_calls.hpp"
#include "launcher/descriptor.hpp"
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
#include <map>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <poll.h>
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

/// The stage a call belongs to, from the call alone; what comes after the parent is checked is verification.
StageId stage_of(const std::vector<SystemCall>& calls, std::size_t index)
{
    static const std::map<long, StageId> by_number{
        {SYS_rt_sigaction, StageId::signals},
        {SYS_rt_sigprocmask, StageId::signals},
        {SYS_setsid, StageId::session},
        {SYS_dup3, StageId::descriptors},
#ifdef SYS_dup2
        {SYS_dup2, StageId::descriptors},
#endif
        {SYS_close_range, StageId::descriptors},
        {SYS_prlimit64, StageId::limits},
        {SYS_umask, StageId::limits},
        {SYS_keyctl, StageId::keyring},
        {SYS_setgroups, StageId::groups},
        {SYS_setresgid, StageId::group_id},
        {SYS_setresuid, StageId::user_id},
        {SYS_chdir, StageId::working_directory},
        {SYS_getppid, StageId::parent_death},
        {SYS_landlock_restrict_self, StageId::landlock},
        {SYS_seccomp, StageId::system_call_filter},
        {SYS_sendmsg, StageId::system_call_filter},
        {SYS_execveat, StageId::execution},
    };
    static const std::map<unsigned long, StageId> by_option{
        {PR_CAPBSET_READ, StageId::bounding_set},  {PR_CAPBSET_DROP, StageId::bounding_set},
        {PR_SET_KEEPCAPS, StageId::user_id},       {PR_CAP_AMBIENT, StageId::ambient_set},
        {PR_SET_SECUREBITS, StageId::securebits},  {PR_SET_NO_NEW_PRIVS, StageId::no_new_privileges},
        {PR_SET_PDEATHSIG, StageId::parent_death},
    };
    const auto number = calls[index].number;
    const auto begin = calls.begin();
    const auto is = [](long wanted) { return [=](const SystemCall& call) { return call.number == wanted; }; };
    const auto here = begin + static_cast<std::ptrdiff_t>(index);
    const bool verifying = std::find_if(begin, here, is(SYS_getppid)) != here;
    constexpr std::array after_it{SYS_landlock_restrict_self, SYS_seccomp, SYS_sendmsg, SYS_execveat};
    if (verifying && std::find(after_it.begin(), after_it.end(), number) == after_it.end())
        return StageId::verification;
    if (number == SYS_capset)
        return std::count_if(begin, here, is(SYS_capset)) == 0 ? StageId::capabilities : StageId::final_capabilities;
    const bool locked = std::any_of(
        begin, here, [](const SystemCall& call) { return call.number == SYS_prctl && call.first == PR_CAP_AMBIENT; });
    if (number == SYS_prctl && calls[index].first == PR_SET_KEEPCAPS && locked)
        return StageId::securebits; // without CAP_SETPCAP they cannot be locked; only the keeping ends
    if (number == SYS_prctl)
        return by_option.at(calls[index].first);
    return by_number.at(number);
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

/// Two calls do not stop at an error: where they read sets, the verification finds what is missing.
bool names_the_right_stage(const StageFailure& failure, StageId expected)
{
    return failure.stage == expected || (expected == StageId::bounding_set && failure.stage == StageId::verification) ||
           (expected == StageId::limits && failure.stage == StageId::verification);
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
    Tally tally{name};
    for (std::size_t i = 0; i < baseline.calls.size(); ++i) {
        const auto stage = stage_of(baseline.calls, i);
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
