// SPDX-License-Identifier: Apache-2.0
#include "launcher/stages.hpp"

#include "launcher/capability_sets.hpp"
#include "launcher/seccomp_filter.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Where a 32-bit architecture once had 16-bit ids, the calls of today carry another name.
#ifdef SYS_setresuid32
#define BELAY_ID_CALL(name) SYS_##name##32
#else
#define BELAY_ID_CALL(name) SYS_##name
#endif

namespace belay::launcher {

namespace {

/// Locked: no capabilities from uid 0, none from changes of it, no new ambient ones, no keeping.
constexpr unsigned long locked_securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                            SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                            SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

int errno_of(long result) noexcept
{
    return result < 0 ? errno : 0;
}

bool exact(const ModuleStart& start) noexcept
{
    return start.privileges == Privileges::exact;
}

bool kept(const ModuleStart& start) noexcept
{
    return start.privileges == Privileges::kept;
}

constexpr int last_standard_signal = 31;

int reset_signals(const ModuleStart& /*start*/) noexcept
{
    struct sigaction action
    {};
    action.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; ++number) {
        const bool fixed = number == SIGKILL || number == SIGSTOP;
        const bool of_glibc = number > last_standard_signal && number < SIGRTMIN; // it refuses to change them
        if (!fixed && !of_glibc && ::sigaction(number, &action, nullptr) != 0)
            return errno;
    }
    sigset_t none;
    ::sigemptyset(&none);
    return errno_of(::sigprocmask(SIG_SETMASK, &none, nullptr));
}

int new_session(const ModuleStart& /*start*/) noexcept
{
    return errno_of(::setsid());
}

int set_descriptors(const ModuleStart& start) noexcept
{
    const int output = start.output >= 0 ? start.output : STDERR_FILENO;
    if (::dup2(start.null_device, STDIN_FILENO) < 0 || ::dup2(output, STDOUT_FILENO) < 0 ||
        ::dup2(output, STDERR_FILENO) < 0)
        return errno;
    return errno_of(::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC));
}

int set_limits(const ModuleStart& start) noexcept
{
    for (const auto& limit : start.limits) {
        const struct rlimit64 value
        {
            limit.soft, limit.hard
        };
        if (::syscall(SYS_prlimit64, 0, limit.resource, &value, nullptr) != 0)
            return errno;
    }
    ::umask(start.umask);
    return 0;
}

int join_session_keyring(const ModuleStart& start) noexcept
{
    if (!start.change_identity)
        return 0;
    const int error = errno_of(::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr));
    return error == ENOSYS ? 0 : error; // a kernel without keyrings has none to share
}

int set_groups(const ModuleStart& start) noexcept
{
    return start.change_identity
               ? errno_of(::syscall(BELAY_ID_CALL(setgroups), start.groups.size(), start.groups.data()))
               : 0;
}

int set_group_id(const ModuleStart& start) noexcept
{
    return start.change_identity ? errno_of(::syscall(BELAY_ID_CALL(setresgid), start.gid, start.gid, start.gid)) : 0;
}

int set_bounding_set(const ModuleStart& start) noexcept
{
    return exact(start) ? reduce_bounding_set(start.capabilities) : 0;
}

int set_user_id(const ModuleStart& start) noexcept
{
    if (!kept(start) && ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
        return errno;
    return start.change_identity ? errno_of(::syscall(BELAY_ID_CALL(setresuid), start.uid, start.uid, start.uid)) : 0;
}

int set_working_capabilities(const ModuleStart& start) noexcept
{
    if (kept(start))
        return 0;
    // Locking the securebits still needs CAP_SETPCAP.
    const auto working = start.capabilities | (exact(start) ? capability(CAP_SETPCAP) : 0);
    return set_capabilities(working, working, start.capabilities);
}

int set_ambient_set(const ModuleStart& start) noexcept
{
    return kept(start) ? 0 : set_ambient(start.capabilities);
}

int lock_securebits(const ModuleStart& start) noexcept
{
    if (exact(start))
        return errno_of(::prctl(PR_SET_SECUREBITS, locked_securebits, 0, 0, 0));
    return kept(start) ? 0 : errno_of(::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0));
}

int set_final_capabilities(const ModuleStart& start) noexcept
{
    return kept(start) ? 0 : set_capabilities(start.capabilities, start.capabilities, start.capabilities);
}

int change_directory(const ModuleStart& start) noexcept
{
    return errno_of(::chdir(start.working_directory));
}

int set_no_new_privileges(const ModuleStart& /*start*/) noexcept
{
    return errno_of(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

int set_parent_death_signal(const ModuleStart& start) noexcept
{
    if (start.parent == 0)
        return 0;
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return errno;
    return ::getppid() == start.parent ? 0 : ESRCH; // it died before the line above
}

int enter_landlock(const ModuleStart& start) noexcept
{
    return start.ruleset < 0 ? 0 : errno_of(::syscall(SYS_landlock_restrict_self, start.ruleset, 0));
}

/// Something differs from the plan although every call had claimed success.
constexpr int mismatch = EBADE;

int verify_identity(const ModuleStart& start) noexcept
{
    std::array<uid_t, 3> uids{};
    std::array<gid_t, 3> gids{};
    if (::syscall(BELAY_ID_CALL(getresuid), &uids[0], &uids[1], &uids[2]) != 0 ||
        ::syscall(BELAY_ID_CALL(getresgid), &gids[0], &gids[1], &gids[2]) != 0)
        return errno;
    const auto is_uid = [&](uid_t id) { return id == start.uid; };
    const auto is_gid = [&](gid_t id) { return id == start.gid; };
    if (!std::all_of(uids.begin(), uids.end(), is_uid) || !std::all_of(gids.begin(), gids.end(), is_gid))
        return mismatch;
    if (!start.change_identity)
        return 0;
    const auto scratch = start.groups_scratch;
    const long count = ::syscall(BELAY_ID_CALL(getgroups), scratch.size(), scratch.data());
    if (count < 0)
        return errno;
    return std::equal(start.groups.begin(), start.groups.end(), scratch.begin(), scratch.begin() + count) ? 0
                                                                                                          : mismatch;
}

/// Tries what must be impossible now.
int verify_no_way_back(const ModuleStart& start) noexcept
{
    const auto may = [&](int number) { return (start.capabilities & capability(number)) != 0; };
    const auto none = static_cast<uid_t>(-1);
    const bool uid_gone = start.former_uid != start.uid && !may(CAP_SETUID);
    const bool gid_gone = start.former_gid != start.gid && !may(CAP_SETGID);
    if (uid_gone && ::syscall(BELAY_ID_CALL(setresuid), none, start.former_uid, none) == 0)
        return mismatch;
    if (gid_gone && ::syscall(BELAY_ID_CALL(setresgid), none, start.former_gid, none) == 0)
        return mismatch;
    const auto more = start.capabilities | capability(may(CAP_SETPCAP) ? CAP_SYS_ADMIN : CAP_SETPCAP);
    if (!kept(start) && more != start.capabilities && set_capabilities(more, more, start.capabilities) == 0)
        return mismatch;
    return 0;
}

int verify_capabilities(const ModuleStart& start) noexcept
{
    CapabilitySets found;
    if (const int error = read_capabilities(found); error != 0)
        return error;
    const auto wanted = start.capabilities;
    CapabilitySets expected{wanted, wanted, wanted, wanted, wanted};
    if (!exact(start))
        expected.bounding = found.bounding;
    const auto securebits = static_cast<unsigned long>(::prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    return found == expected && (!exact(start) || securebits == locked_securebits) ? 0 : mismatch;
}

int verify(const ModuleStart& start) noexcept
{
    if (const int error = verify_identity(start); error != 0)
        return error;
    if (const int error = kept(start) ? 0 : verify_capabilities(start); error != 0)
        return error;
    if (::umask(start.umask) != start.umask) // it has no error to return
        return mismatch;
    int death_signal = 0;
    if (start.parent != 0 && (::prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) != 0 || death_signal != SIGKILL))
        return mismatch;
    if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return mismatch;
    if (start.out_of_reach > 0 && ::kill(start.out_of_reach, 0) == 0)
        return mismatch;
    return verify_no_way_back(start);
}

int filter_system_calls(const ModuleStart& start) noexcept
{
    if (start.filter.len == 0)
        return 0;
    return errno_of(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &start.filter));
}

int execute(const ModuleStart& start) noexcept
{
    return errno_of(::syscall(SYS_execveat, start.program, "", start.arguments, start.environment, AT_EMPTY_PATH));
}

struct Stage
{
    StageId id;
    const char* sentence; ///< "could not …"
    int (*run)(const ModuleStart&) noexcept;
    bool for_the_manager; ///< part of drop_privileges()
};

constexpr std::array stages{
    Stage{StageId::signals, "reset the signal dispositions and mask", reset_signals, false},
    Stage{StageId::session, "start a new session", new_session, false},
    Stage{StageId::descriptors, "set up the file descriptors", set_descriptors, false},
    Stage{StageId::limits, "set the resource limits", set_limits, true},
    Stage{StageId::keyring, "join a new session keyring", join_session_keyring, true},
    Stage{StageId::groups, "set the supplementary groups", set_groups, true},
    Stage{StageId::group_id, "set the group id", set_group_id, true},
    Stage{StageId::bounding_set, "reduce the capability bounding set", set_bounding_set, true},
    Stage{StageId::user_id, "set the user id", set_user_id, true},
    Stage{StageId::capabilities, "set the capability sets", set_working_capabilities, true},
    Stage{StageId::ambient_set, "raise the ambient capabilities", set_ambient_set, true},
    Stage{StageId::securebits, "lock the securebits", lock_securebits, true},
    Stage{StageId::final_capabilities, "reduce the capability sets to the declared ones", set_final_capabilities, true},
    Stage{StageId::working_directory, "change to the working directory", change_directory, true},
    Stage{StageId::no_new_privileges, "set no_new_privs", set_no_new_privileges, true},
    Stage{StageId::parent_death, "set the parent-death signal", set_parent_death_signal, false},
    Stage{StageId::landlock, "enter the Landlock domain", enter_landlock, false},
    Stage{StageId::verification, "verify that the process is what its plan says", verify, true},
    Stage{StageId::system_call_filter, "install the system call filter", filter_system_calls, true},
};

/// What has a sentence but is no step of the loop.
constexpr std::array outside{
    Stage{StageId::execution, "execute the program", execute, false},
    Stage{StageId::fork, "create the process", nullptr, false},
};

constexpr bool in_order()
{
    for (std::size_t i = 0; i < stages.size(); ++i)
        if (stages[i].id != static_cast<StageId>(i))
            return false;
    for (std::size_t i = 0; i < outside.size(); ++i)
        if (outside[i].id != static_cast<StageId>(stages.size() + i))
            return false;
    return true;
}
static_assert(in_order(), "the table follows the enumeration");

[[noreturn]] void fail(int status_pipe, StageId stage, int error) noexcept
{
    const StageFailure failure{stage, error};
    // If even this fails, the launcher sees the process end without having executed.
    const auto written = ::write(status_pipe, &failure, sizeof failure);
    ::_exit(written == sizeof failure ? 1 : 2);
}

} // namespace

void become(const ModuleStart& start, int status_pipe) noexcept
{
    for (const Stage& stage : stages)
        if (const int error = stage.run(start); error != 0)
            fail(status_pipe, stage.id, error);
    fail(status_pipe, StageId::execution, execute(start));
}

tl::expected<void, StageFailure> drop_privileges(const ProcessPlan& plan)
{
    auto filter = plan.filter_system_calls ? deny_list(plan.capabilities, Subject::module)
                                           : tl::expected<std::vector<sock_filter>, int>{};
    if (!filter)
        return tl::unexpected(StageFailure{StageId::system_call_filter, filter.error()});
    PreparedStart prepared{plan, *filter};
    for (const Stage& stage : stages)
        if (const int error = stage.for_the_manager ? stage.run(prepared.start()) : 0; error != 0)
            return tl::unexpected(StageFailure{stage.id, error});
    return {};
}

const char* describe(StageId stage) noexcept
{
    const auto index = static_cast<std::size_t>(stage);
    if (index < stages.size())
        return stages[index].sentence;
    return index - stages.size() < outside.size() ? outside[index - stages.size()].sentence
                                                  : "complete a stage that this version does not know";
}

} // namespace belay::launcher
