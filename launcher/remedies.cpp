// SPDX-License-Identifier: Apache-2.0
#include "launcher/errno_text.hpp"
#include "launcher/stages.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

namespace belay::launcher {

namespace {

struct Remedy
{
    StageId stage;
    int error; ///< 0: any
    const char* text;
};

constexpr std::array remedies{
    Remedy{StageId::control_group, 0,
           "let systemd delegate the service's control group with Delegate=yes, or no limits that need one"},
    Remedy{StageId::bounding_set, EPERM,
           "CAP_SETPCAP is not in the service's bounding set; add it to "
           "CapabilityBoundingSet= of the unit"},
    Remedy{StageId::capabilities, EPERM,
           "a declared capability is not in the service's bounding set; add it to "
           "CapabilityBoundingSet= of the unit"},
    Remedy{StageId::ambient_set, EPERM,
           "a declared capability is not in the service's bounding set; add it to "
           "CapabilityBoundingSet= of the unit"},
    Remedy{StageId::groups, EPERM, "CAP_SETGID is missing; add it to CapabilityBoundingSet= of the unit"},
    Remedy{StageId::group_id, EPERM, "CAP_SETGID is missing; add it to CapabilityBoundingSet= of the unit"},
    Remedy{StageId::user_id, EPERM, "CAP_SETUID is missing; add it to CapabilityBoundingSet= of the unit"},
    Remedy{StageId::user_id, EAGAIN, "the user has too many processes; raise LimitNPROC="},
    Remedy{StageId::limits, EPERM, "a hard limit above the service's own needs CAP_SYS_RESOURCE"},
    Remedy{StageId::priorities, EPERM,
           "CAP_SYS_NICE or CAP_SYS_RESOURCE is missing; add it to CapabilityBoundingSet= of the unit"},
    Remedy{StageId::keyring, EPERM,
           "whoever started Belay filters keyctl(2) but not add_key(2) or request_key(2); let the profile of the "
           "container "
           "allow all three or none"},
    Remedy{StageId::namespaces, EPERM,
           "CAP_SYS_ADMIN (and, for the loopback, CAP_NET_ADMIN) is missing; add it to CapabilityBoundingSet= of the "
           "unit"},
    Remedy{StageId::mounts, EPERM, "CAP_SYS_ADMIN is missing; add it to CapabilityBoundingSet= of the unit"},
    Remedy{StageId::mounts, ENOENT, "a path under `write` or a device under `devices` is not there"},
    Remedy{StageId::mounts, ENOSYS, "Linux 5.12 is needed"},
    Remedy{
        StageId::landlock, EPERM,
        "whoever started Belay filters some calls of landlock(7); let the profile of the container allow all or none"},
    Remedy{StageId::landlock, E2BIG, "domains are nested too deep: Belay itself runs in 16 of them"},
    Remedy{StageId::working_directory, 0, "let the module's user search the directory and all above it"},
    Remedy{StageId::verification, 0, "nothing was executed; this is a defect of Belay or of the kernel: report it"},
    Remedy{StageId::system_call_filter, EBUSY,
           "whoever started Belay supervises system calls itself, and only one can; `seccomp: standard` does without"},
    Remedy{StageId::execution, EACCES,
           "let the module's user execute the program and search all directories above it; "
           "see also noexec in mount(8)"},
    Remedy{StageId::execution, ENOEXEC, "the program is for another machine, or a script without #!"},
    Remedy{StageId::execution, ENOENT, "its dynamic loader is not installed"},
    Remedy{StageId::execution, EPERM,
           "execveat(2) is refused by a filter or a security module; let the profile of the container allow it"},
    Remedy{StageId::execution, ENOSYS, "execveat(2) is refused by a filter; let the profile of the container allow it"},
    Remedy{StageId::execution, EAGAIN, "the user has too many processes; raise LimitNPROC="},
    Remedy{StageId::fork, EBUSY, "what was left of it in its control group has been killed and does not end"},
    Remedy{StageId::fork, ENODEV, "somebody removed the module's control group; leave what is below Belay's own to it"},
    Remedy{StageId::fork, EACCES, "the delegated control group does not belong to the launcher's user"},
    Remedy{StageId::fork, EPERM,
           "clone3(2) is refused by a filter; let the profile of the container allow it, or refuse it with ENOSYS"},
    Remedy{StageId::fork, EMFILE, "the launcher has too many open files; raise LimitNOFILE= of the unit"},
    Remedy{StageId::fork, EAGAIN, "too many processes; raise TasksMax= or LimitNPROC="},
};

} // namespace

std::string explain(const StageFailure& failure)
{
    std::string result = std::string{"could not "} + describe(failure.stage) + ": " + errno_text(failure.error) + " (" +
                         errno_name(failure.error) + ')';
    const auto fits = [&](const Remedy& remedy) {
        return remedy.stage == failure.stage && (remedy.error == 0 || remedy.error == failure.error);
    };
    if (const auto* found = std::find_if(remedies.begin(), remedies.end(), fits); found != remedies.end())
        result += std::string{"; "} + found->text;
    return result;
}

} // namespace belay::launcher
