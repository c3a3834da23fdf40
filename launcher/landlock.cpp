// SPDX-License-Identifier: Apache-2.0
#include "launcher/landlock.hpp"

#include "launcher/descriptor.hpp"
#include "launcher/raw_calls.hpp"
#include "launcher/stage_functions.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr std::uint64_t first_rights = (1U << 13U) - 1; // ABI 1
constexpr int rule_port = 2;                            // LANDLOCK_RULE_NET_PORT

/// What a rule for a file that is no directory may name.
constexpr std::uint64_t rights_of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                          LANDLOCK_ACCESS_FS_READ_FILE | landlock_truncate | landlock_ioctl_device;

struct PortAttributes
{
    std::uint64_t allowed_access;
    std::uint64_t port;
};

struct Since
{
    int abi;
    std::uint64_t rights;
};

constexpr std::array file_rights{Since{1, first_rights}, Since{landlock_refer_abi, landlock_refer},
                                 Since{landlock_truncate_abi, landlock_truncate},
                                 Since{landlock_ioctl_abi, landlock_ioctl_device}};

/// What is missing, or out of the user's reach, needs no rule.
bool out_of_reach(int error) noexcept
{
    return error == ENOENT || error == EACCES || error == ENOTDIR;
}

int add_path(int ruleset, const char* path, std::uint64_t access) noexcept
{
    const FileDescriptor file{::open(path, O_PATH | O_CLOEXEC)};
    if (!file)
        return out_of_reach(errno) ? 0 : errno;
    struct stat status
    {};
    if (::fstat(file.get(), &status) != 0)
        return errno;
    const auto allowed = S_ISDIR(status.st_mode) ? access : access & rights_of_files;
    if (allowed == 0)
        return 0;
    const landlock_path_beneath_attr rule{allowed, file.get()};
    const int error = errno_of(::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0));
    return error == EBADFD ? 0 : error; // /dev/stdin may be a pipe, which Landlock does not restrict
}

int add_port(int ruleset, const PortRule& port, std::uint64_t handled) noexcept
{
    const PortAttributes rule{port.access & handled, port.port};
    return rule.allowed_access == 0 ? 0 : errno_of(::syscall(SYS_landlock_add_rule, ruleset, rule_port, &rule, 0));
}

} // namespace

int landlock_abi() noexcept
{
    const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : static_cast<int>(abi);
}

std::uint64_t landlock_file_rights(int abi) noexcept
{
    std::uint64_t result = 0;
    for (const auto& since : file_rights)
        result |= abi >= since.abi ? since.rights : 0;
    return result;
}

std::uint64_t landlock_port_rights(int abi) noexcept
{
    return abi >= landlock_ports_abi ? (landlock_bind_tcp | landlock_connect_tcp) : 0;
}

LandlockRuleset resolve(const LandlockPlan& plan, int abi) noexcept
{
    LandlockRuleset result;
    if (abi < landlock_ptrace_abi)
        return result;
    auto& attributes = result.attributes;
    attributes.handled_access_fs = plan.handled_fs & landlock_file_rights(abi);
    attributes.handled_access_net = plan.handled_net & landlock_port_rights(abi);
    if (plan.isolate && abi >= landlock_scopes_abi)
        attributes.scoped = landlock_scope_abstract_unix_socket | landlock_scope_signal;
    // A rule set must handle something to be one. No module without CAP_MKNOD makes a device anyway.
    if (plan.isolate && attributes.scoped == 0 && attributes.handled_access_fs == 0)
        attributes.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK;
    const bool wants_refer = (attributes.handled_access_fs & landlock_refer) != 0;
    if (attributes.handled_access_fs != 0 && !wants_refer && abi >= landlock_refer_abi) {
        attributes.handled_access_fs |= landlock_refer;
        result.moves_freely = true;
    }
    return result;
}

int enter_landlock(const ModuleStart& start) noexcept
{
    const auto& [attributes, moves_freely] = start.landlock_ruleset;
    if ((attributes.handled_access_fs | attributes.handled_access_net | attributes.scoped) == 0)
        return 0;
    const FileDescriptor ruleset{
        static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0))};
    if (!ruleset)
        return errno;
    if (const int error = moves_freely ? add_path(ruleset.get(), "/", landlock_refer) : 0; error != 0)
        return error;
    for (const auto& rule : start.landlock->paths)
        if (const int error = add_path(ruleset.get(), rule.path.c_str(), rule.access & attributes.handled_access_fs);
            error != 0)
            return error;
    for (const auto& port : start.landlock->ports)
        if (const int error = add_port(ruleset.get(), port, attributes.handled_access_net); error != 0)
            return error;
    return errno_of(::syscall(SYS_landlock_restrict_self, ruleset.get(), 0));
}

} // namespace belay::launcher
