// SPDX-License-Identifier: Apache-2.0
#include "launcher/stages.hpp"

#include "launcher/raw_calls.hpp"
#include "launcher/seccomp_filter.hpp"
#include "launcher/stage_functions.hpp"

#include <array>

#include <fcntl.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

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
    Stage{StageId::control_group, "enter its control group", enter_control_group, false},
    Stage{StageId::signals, "reset the signal dispositions and mask", reset_signals, false},
    Stage{StageId::session, "start a new session", start_session, false},
    Stage{StageId::subreaper, "become the subreaper of what it starts", become_subreaper, false},
    Stage{StageId::descriptors, "set up the file descriptors", set_descriptors, false},
    Stage{StageId::limits, "set the resource limits", set_limits, true},
    Stage{StageId::priorities, "set the priorities", set_priorities, true},
    Stage{StageId::keyring, "join a new session keyring", join_session_keyring, true},
    Stage{StageId::namespaces, "enter its namespaces", enter_namespaces, false},
    Stage{StageId::mounts, "arrange its view of the file system", arrange_mounts, false},
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

/// Into what is zeros until then, and has room for it.
void write_pid(char* to, pid_t pid) noexcept
{
    constexpr pid_t base = 10;
    pid_t power = 1;
    while (pid / power >= base)
        power *= base;
    for (; power > 0; power /= base)
        *to++ = static_cast<char>('0' + pid / power % base);
}

[[noreturn]] void fail(int status, StageId stage, int error) noexcept
{
    const StageFailure failure{stage, error};
    // If even this fails, the launcher sees the process end without having executed.
    const auto written = ::write(status, &failure, sizeof failure);
    ::_exit(written == sizeof failure ? 1 : 2);
}

} // namespace

void become(const ModuleStart& start) noexcept
{
    if (start.own_pid != nullptr)
        write_pid(start.own_pid, ::getpid());
    for (const Stage& stage : stages)
        if (const int error = stage.run(start); error != 0)
            fail(start.status, stage.id, error);
    fail(start.status, StageId::execution, execute(start));
}

tl::expected<void, StageFailure> drop_privileges(const ProcessPlan& plan)
{
    auto filters = filters_of(plan, plan.capabilities);
    if (!filters)
        return tl::unexpected(StageFailure{StageId::system_call_filter, filters.error()});
    PreparedStart prepared{plan, *filters};
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
