// SPDX-License-Identifier: Apache-2.0
#include "config/system_calls.hpp"

#include "config/capabilities.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>

#include <linux/capability.h>
#include <sys/syscall.h>

using namespace belay::config;

namespace {

using Names = std::set<std::string>;

std::string output_of(const char* command)
{
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe{::popen(command, "r"), ::pclose};
    REQUIRE(pipe);
    std::string text;
    for (int character = 0; (character = std::fgetc(pipe.get())) != EOF;)
        text += static_cast<char>(character);
    return text;
}

std::map<std::string, Names> groups_of_systemd()
{
    std::istringstream lines{output_of("systemd-analyze --no-pager syscall-filter 2>/dev/null")};
    std::map<std::string, Names> result;
    std::string group;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with('@'))
            result[group = line];
        else if (line.starts_with("    ") && line[4] != '#')
            result.at(group).insert(line.substr(4));
    }
    return result;
}

Names members(std::string_view text)
{
    std::istringstream stream{std::string{text}};
    Names result;
    for (std::string word; stream >> word;)
        result.insert(word);
    return result;
}

std::vector<std::int32_t> numbers(const std::vector<std::string>& entries)
{
    const auto resolved = resolve_system_calls(entries);
    REQUIRE(resolved);
    CHECK(std::is_sorted(resolved->begin(), resolved->end()));
    return *resolved;
}

bool contains(const std::vector<std::int32_t>& list, long number)
{
    return std::binary_search(list.begin(), list.end(), static_cast<std::int32_t>(number));
}

belay::launcher::CapabilityMask every_capability()
{
    belay::launcher::CapabilityMask mask = 0;
    for (int number = 0; number <= CAP_LAST_CAP; ++number)
        mask |= bit(number);
    return mask;
}

} // namespace

TEST_CASE("the groups of system calls are systemd's")
{
    // The table is that of Debian 12, 252; every version adds calls.
    const auto version = output_of("systemd-analyze --version 2>/dev/null");
    const int number = version.starts_with("systemd ") ? std::stoi(version.substr(8)) : 0;
    if (number < 252) {
        WARN("skipped: needs systemd-analyze of systemd 252 or newer");
        return;
    }
    auto wanted = groups_of_systemd();
    wanted.erase("@known");
    CHECK(wanted.size() > 25);
    for (const auto& group : system_call_groups()) {
        INFO(group.name);
        const auto found = wanted.find(std::string{group.name});
        if (found == wanted.end()) {
            CHECK(group.name == "@sandbox");
            continue;
        }
        const auto ours = members(group.members);
        CHECK(std::includes(found->second.begin(), found->second.end(), ours.begin(), ours.end()));
        CHECK((number > 252 || ours == found->second));
        wanted.erase(found);
    }
    CHECK((number > 252 || wanted.empty()));
}

TEST_CASE("groups contain groups, and each of them is known")
{
    for (const auto& group : system_call_groups()) {
        INFO(group.name);
        CHECK(resolve_system_calls(std::vector{std::string{group.name}}));
    }
    CHECK(contains(numbers({"@system-service"}), SYS_timerfd_create));
    CHECK(contains(numbers({"@privileged"}), SYS_reboot));
    CHECK_FALSE(contains(numbers({"@system-service"}), SYS_reboot));
}

TEST_CASE("a list of system calls is resolved in order")
{
    CHECK(numbers({}).empty());
    CHECK(numbers({"write", "read", "read"}) == numbers({"read", "write"}));
    CHECK(numbers({"read"}) == std::vector<std::int32_t>{SYS_read});
    CHECK(numbers({"@swap", "~swapon"}) == std::vector<std::int32_t>{SYS_swapoff});
    CHECK(numbers({"~swapon", "@swap"}) == numbers({"swapon", "swapoff"}));
    CHECK(numbers({"@swap", "~@swap"}).empty());
    CHECK(numbers({"s390_runtime_instr", "uretprobe"}).size() <= 1); // known, but not everywhere
}

TEST_CASE("an unknown system call or group is reported with the nearest that exists")
{
    const std::vector<std::string> entries{"read", "opennat", "@netwerk-io", "~@sweap", "read:EPERM", ""};
    const auto resolved = resolve_system_calls(entries);
    REQUIRE_FALSE(resolved);
    const auto& unknown = resolved.error();
    REQUIRE(unknown.size() == 5);
    CHECK(unknown[0].entry == 1);
    CHECK(unknown[0].suggestion == "did you mean `openat`?");
    CHECK(unknown[1].suggestion == "did you mean `@network-io`?");
    CHECK(unknown[2].entry == 3);
    CHECK(unknown[2].name == "@sweap");
    CHECK(unknown[2].suggestion == "did you mean `@swap`?");
    CHECK(unknown[3].name == "read:EPERM");
    CHECK(unknown[4].suggestion.empty());
}

TEST_CASE("a strict list has what programs live on, and no more")
{
    const auto list = numbers(strict_system_calls(0));
    for (const long call : {SYS_execve, SYS_futex, SYS_clone, SYS_clone3, SYS_mmap, SYS_openat, SYS_socket, SYS_connect,
                            SYS_epoll_pwait, SYS_timerfd_settime, SYS_prlimit64, SYS_setrlimit, SYS_sched_getaffinity,
                            SYS_getpriority, SYS_fchmod, SYS_fchown, SYS_mlock, SYS_rt_sigreturn, SYS_pkey_alloc})
        CHECK(contains(list, call));
    for (const long call : {SYS_mount,
                            SYS_ptrace,
                            SYS_keyctl,
                            SYS_setuid,
                            SYS_setgroups,
                            SYS_setfsuid,
                            SYS_bpf,
                            SYS_unshare,
                            SYS_setns,
                            SYS_process_vm_writev,
                            SYS_userfaultfd,
                            SYS_io_uring_setup,
                            SYS_setpriority,
                            SYS_sched_setscheduler,
                            SYS_clock_settime,
                            SYS_reboot,
                            SYS_init_module,
                            SYS_chroot,
                            SYS_syslog,
                            SYS_personality,
                            SYS_open_by_handle_at})
        CHECK_FALSE(contains(list, call));
}

TEST_CASE("a capability extends a strict list by what it is for")
{
    const auto gained = [](int capability) {
        const auto before = numbers(strict_system_calls(0));
        std::vector<std::int32_t> result;
        for (const auto number : numbers(strict_system_calls(bit(capability))))
            if (!contains(before, number))
                result.push_back(number);
        return result;
    };
    CHECK(gained(CAP_NET_RAW).empty());
    CHECK(gained(CAP_SYS_TIME) == numbers({"@clock"}));
    CHECK(gained(CAP_SYS_BOOT) == numbers({"@reboot"}));
    CHECK(gained(CAP_SYS_MODULE) == numbers({"@module"}));
    CHECK(gained(CAP_SYSLOG) == numbers({"syslog"}));
    CHECK(gained(CAP_BPF) == numbers({"bpf"}));
    CHECK(gained(CAP_SYS_NICE) == numbers({"@resources", "~setrlimit"}));
    CHECK(contains(gained(CAP_SYS_ADMIN), SYS_mount));
    CHECK(contains(gained(CAP_SYS_PTRACE), SYS_process_vm_writev));
    CHECK(contains(gained(CAP_SETUID), SYS_setresuid));
    CHECK(contains(numbers(strict_system_calls(every_capability())), SYS_acct));
}

TEST_CASE("a system call has a name and the groups that name it")
{
    using Groups = std::vector<std::string>;
    CHECK(system_call_name(SYS_mount) == "mount");
    CHECK(system_call_name(1'000'000).empty());
    CHECK(system_call_name(-1).empty());
    CHECK(groups_of_system_call("mount") == Groups{"@mount"});
    CHECK(groups_of_system_call("setuid") == Groups{"@setuid"});
    CHECK(groups_of_system_call("bpf") == Groups{"@privileged"});
    CHECK(groups_of_system_call("kcmp") == Groups{"@system-service"});
    CHECK(groups_of_system_call("close") == Groups{"@basic-io", "@file-system"});
    CHECK(groups_of_system_call("process_mrelease").empty());
}
