// SPDX-License-Identifier: Apache-2.0
#include "launcher/capability_sets.hpp"
#include "launcher/raw_calls.hpp"
#include "launcher/stage_functions.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

/// Locked: no capabilities from uid 0, none from changes of it, no new ambient ones, no keeping.
constexpr unsigned long locked_securebits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                            SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
                                            SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

bool exact(const ModuleStart& start) noexcept
{
    return start.privileges == Privileges::exact;
}

bool kept(const ModuleStart& start) noexcept
{
    return start.privileges == Privileges::kept;
}

/// Asked with arguments that are EFAULT or EINVAL to the kernel.
bool nobody_has_keyrings() noexcept
{
    const auto refused = [](long result) { return result < 0 && (errno == EPERM || errno == ENOSYS); };
    return refused(::syscall(SYS_keyctl, KEYCTL_DESCRIBE, 0, nullptr, 0)) &&
           refused(::syscall(SYS_add_key, nullptr, nullptr, nullptr, 0, 0)) &&
           refused(::syscall(SYS_request_key, nullptr, nullptr, nullptr, 0));
}

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

} // namespace

/// A kernel without keyrings has none to share, and where a filter refuses all that they are used by, as that of a
/// container does, it refuses it to the module as well.
int join_session_keyring(const ModuleStart& start) noexcept
{
    if (!start.change_identity)
        return 0;
    const int error = errno_of(::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr));
    return error == 0 || nobody_has_keyrings() ? 0 : error;
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

int set_no_new_privileges(const ModuleStart& start) noexcept
{
    return start.no_new_privileges ? errno_of(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) : 0;
}

int verify_privileges(const ModuleStart& start) noexcept
{
    if (const int error = verify_identity(start); error != 0)
        return error;
    if (const int error = kept(start) ? 0 : verify_capabilities(start); error != 0)
        return error;
    if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != (start.no_new_privileges ? 1 : 0))
        return mismatch;
    return verify_no_way_back(start);
}

} // namespace belay::launcher
