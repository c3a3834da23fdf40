// SPDX-License-Identifier: Apache-2.0
#include "config/system_calls.hpp"

#include "config/capabilities.hpp"
#include "config/nearest.hpp"

#include <seccomp.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <sstream>

#include <linux/capability.h>

namespace belay::config {

namespace {

/// What no module has a business with, of what systemd finds in order for a service, and what runtimes take besides.
/// @chown and @memlock stay: without their capabilities the kernel allows no more than a file's own group, as
/// `sed --in-place` restores it, and RLIMIT_MEMLOCK, as cryptographic libraries use it.
constexpr std::string_view strict =
    "@system-service ~@keyring ~@resources ~@setuid ~setfsgid ~setfsgid32 ~setfsuid ~setfsuid32 "
    "~kcmp ~process_madvise ~process_vm_readv ~process_vm_writev ~userfaultfd " // the memory of others
    "~io_uring_enter ~io_uring_register ~io_uring_setup "                       // work past the filter
    "~personality ~setns ~unshare "                                             // another view of the system
    "setrlimit @pkey mincore "                                                  // own limits; V8; libunwind
    "futex_requeue futex_wait futex_wake map_shadow_stack";                     // newer than the groups

/// What the deny list of launcher/seccomp_filter.cpp opens, and what else is useless without the capability.
struct Extension
{
    int capability;
    std::string_view entries;
};

constexpr std::string_view identity = "@setuid setfsgid setfsgid32 setfsuid setfsuid32";

constexpr std::array extensions{
    Extension{CAP_SYS_ADMIN, "@mount @swap setns unshare sethostname setdomainname quotactl quotactl_fd @keyring "
                             "io_uring_enter io_uring_register io_uring_setup"},
    Extension{CAP_SYS_PTRACE, "@debug kcmp process_madvise process_vm_readv process_vm_writev userfaultfd"},
    Extension{CAP_SETUID, identity},
    Extension{CAP_SETGID, identity},
    Extension{CAP_SYS_NICE, "@resources"},
    Extension{CAP_SYS_RESOURCE, "@resources"},
    Extension{CAP_SYS_TIME, "@clock stime"},
    Extension{CAP_SYS_BOOT, "@reboot"},
    Extension{CAP_SYS_MODULE, "@module"},
    Extension{CAP_SYS_RAWIO, "@raw-io modify_ldt vm86 vm86old"},
    Extension{CAP_SYS_CHROOT, "chroot"},
    Extension{CAP_SYSLOG, "syslog"},
    Extension{CAP_BPF, "bpf"},
    Extension{CAP_PERFMON, "perf_event_open"},
    Extension{CAP_DAC_READ_SEARCH, "open_by_handle_at"},
    Extension{CAP_SYS_PACCT, "acct"},
    Extension{CAP_SYS_TTY_CONFIG, "vhangup"},
};

std::vector<std::string> words(std::string_view text)
{
    std::istringstream stream{std::string{text}};
    std::vector<std::string> result;
    for (std::string word; stream >> word;)
        result.push_back(std::move(word));
    return result;
}

const SystemCallGroup* group_called(std::string_view name)
{
    const auto all = system_call_groups();
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& group) { return group.name == name; });
    return found == all.end() ? nullptr : &*found;
}

/// Every call and group that is named here; libseccomp may know more calls, and not all of these.
const std::set<std::string>& written_names()
{
    static const auto names = [] {
        std::set<std::string> result;
        for (const auto& group : system_call_groups()) {
            result.emplace(group.name);
            for (auto& word : words(group.members))
                result.insert(std::move(word));
        }
        for (const auto& word : words(strict))
            result.insert(word.substr(word.starts_with('~') ? 1 : 0));
        return result;
    }();
    return names;
}

/// Nothing if neither libseccomp nor a group knows the name; a negative number if this architecture has no such call.
std::optional<int> number_of(const std::string& name)
{
    const int number = ::seccomp_syscall_resolve_name(name.c_str());
    if (number != __NR_SCMP_ERROR)
        return number;
    return written_names().count(name) != 0 ? std::optional{-1} : std::nullopt;
}

using Numbers = std::set<std::int32_t>;

/// False if `name` is none.
bool collect(const std::string& name, Numbers& numbers)
{
    if (name.starts_with('@')) {
        const auto* group = group_called(name);
        if (group != nullptr)
            for (const auto& member : words(group->members))
                collect(member, numbers);
        return group != nullptr;
    }
    const auto number = number_of(name);
    if (number && *number >= 0)
        numbers.insert(*number);
    return number.has_value();
}

/// What this machine can be asked for.
std::vector<std::string> candidates()
{
    const auto& written = written_names();
    std::set<std::string> result{written.begin(), written.end()};
    constexpr std::int32_t more_than_any = 1024;
    for (std::int32_t number = 0; number < more_than_any; ++number)
        if (auto name = system_call_name(number); !name.empty())
            result.insert(std::move(name));
    return {result.begin(), result.end()};
}

} // namespace

tl::expected<std::vector<std::int32_t>, std::vector<UnknownSystemCall>>
resolve_system_calls(std::span<const std::string> entries)
{
    Numbers result;
    std::vector<UnknownSystemCall> unknown;
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const bool removes = entries[i].starts_with('~');
        const auto name = entries[i].substr(removes ? 1 : 0);
        Numbers numbers;
        if (!collect(name, numbers))
            unknown.push_back({i, name, suggest(name, candidates())});
        for (const auto number : numbers)
            removes ? static_cast<void>(result.erase(number)) : static_cast<void>(result.insert(number));
    }
    if (!unknown.empty())
        return tl::unexpected(std::move(unknown));
    return std::vector(result.begin(), result.end());
}

std::vector<std::string> strict_system_calls(launcher::CapabilityMask capabilities)
{
    auto result = words(strict);
    for (const auto& extension : extensions)
        if ((capabilities & bit(extension.capability)) != 0)
            for (auto& entry : words(extension.entries))
                result.push_back(std::move(entry));
    return result;
}

std::string system_call_name(std::int32_t number)
{
    const std::unique_ptr<char, decltype(&std::free)> name{::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number),
                                                           std::free};
    return name ? name.get() : "";
}

std::vector<std::string> groups_of_system_call(std::string_view name)
{
    std::vector<const SystemCallGroup*> found;
    const auto names_it = [&](const SystemCallGroup& group) {
        const auto members = words(group.members);
        return std::find(members.begin(), members.end(), name) != members.end();
    };
    for (const auto& group : system_call_groups())
        if (names_it(group))
            found.push_back(&group);
    const auto general = [](const auto* group) {
        return group->name == "@privileged" || group->name == "@system-service";
    };
    if (!std::all_of(found.begin(), found.end(), general))
        found.erase(std::remove_if(found.begin(), found.end(), general), found.end());
    std::sort(found.begin(), found.end(),
              [](const auto* a, const auto* b) { return a->members.size() < b->members.size(); });
    std::vector<std::string> result;
    for (const auto* group : found)
        result.emplace_back(group->name);
    return result;
}

} // namespace belay::config
