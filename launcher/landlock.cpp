// SPDX-License-Identifier: Apache-2.0
#include "launcher/landlock.hpp"

#include "launcher/errno_text.hpp"

#include <cerrno>
#include <cstdint>

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

/// struct landlock_ruleset_attr of Linux 6.12; older kernels take it as long as what they do not know is 0.
struct RulesetAttributes
{
    std::uint64_t handled_access_fs = 0;
    std::uint64_t handled_access_net = 0;
    std::uint64_t scoped = 0;
};

constexpr std::uint64_t scope_abstract_unix_socket = 1U << 0U;
constexpr std::uint64_t scope_signal = 1U << 1U;

tl::unexpected<std::string> failure(const std::string& what, int error)
{
    return tl::unexpected("could not " + what + ": " + errno_text(error) + " (" + errno_name(error) + ')');
}

} // namespace

int landlock_abi() noexcept
{
    const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : static_cast<int>(abi);
}

tl::expected<FileDescriptor, std::string> make_ruleset(int abi, std::span<const std::string> executable_below)
{
    if (abi < landlock_ptrace_abi)
        return FileDescriptor{};
    RulesetAttributes attributes;
    // A rule set must handle something. No module without CAP_MKNOD makes a device anyway.
    attributes.handled_access_fs =
        executable_below.empty() ? LANDLOCK_ACCESS_FS_MAKE_BLOCK : LANDLOCK_ACCESS_FS_EXECUTE;
    if (abi >= landlock_scopes_abi)
        attributes = {executable_below.empty() ? 0 : attributes.handled_access_fs, 0,
                      scope_abstract_unix_socket | scope_signal};
    FileDescriptor ruleset{static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0))};
    if (!ruleset)
        return failure("create a Landlock rule set", errno);
    for (const auto& path : executable_below) {
        const FileDescriptor directory{::open(path.c_str(), O_PATH | O_CLOEXEC)};
        if (!directory && errno == ENOENT)
            continue;
        if (!directory)
            return failure("open " + path + " for a Landlock rule", errno);
        const landlock_path_beneath_attr rule{LANDLOCK_ACCESS_FS_EXECUTE, directory.get()};
        if (::syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
            return failure("add the Landlock rule for " + path, errno);
    }
    return ruleset;
}

} // namespace belay::launcher
