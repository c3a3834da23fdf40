// SPDX-License-Identifier: Apache-2.0
#include "launcher/seccomp_filter.hpp"

#include "launcher/capability_sets.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/io_priority.hpp"

#include <seccomp.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <memory>

#include <linux/capability.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace belay::launcher {

namespace {

struct Denied
{
    const char* call;
    int opened_by; ///< the capability that makes it legitimate
};

constexpr std::array denied{
    // namespaces and mounts
    Denied{"setns", CAP_SYS_ADMIN},
    Denied{"mount", CAP_SYS_ADMIN},
    Denied{"umount", CAP_SYS_ADMIN},
    Denied{"umount2", CAP_SYS_ADMIN},
    Denied{"pivot_root", CAP_SYS_ADMIN},
    Denied{"move_mount", CAP_SYS_ADMIN},
    Denied{"open_tree", CAP_SYS_ADMIN},
    Denied{"fsopen", CAP_SYS_ADMIN},
    Denied{"fsconfig", CAP_SYS_ADMIN},
    Denied{"fsmount", CAP_SYS_ADMIN},
    Denied{"fspick", CAP_SYS_ADMIN},
    Denied{"mount_setattr", CAP_SYS_ADMIN},
    Denied{"chroot", CAP_SYS_CHROOT},
    // other processes
    Denied{"ptrace", CAP_SYS_PTRACE},
    Denied{"process_vm_readv", CAP_SYS_PTRACE},
    Denied{"process_vm_writev", CAP_SYS_PTRACE},
    Denied{"process_madvise", CAP_SYS_PTRACE},
    Denied{"pidfd_getfd", CAP_SYS_PTRACE},
    Denied{"kcmp", CAP_SYS_PTRACE},
    Denied{"userfaultfd", CAP_SYS_PTRACE},
    // the kernel itself
    Denied{"kexec_load", CAP_SYS_BOOT},
    Denied{"kexec_file_load", CAP_SYS_BOOT},
    Denied{"reboot", CAP_SYS_BOOT},
    Denied{"init_module", CAP_SYS_MODULE},
    Denied{"finit_module", CAP_SYS_MODULE},
    Denied{"delete_module", CAP_SYS_MODULE},
    Denied{"bpf", CAP_BPF},
    Denied{"perf_event_open", CAP_PERFMON},
    Denied{"io_uring_setup", CAP_SYS_ADMIN}, // does its work past every filter
    Denied{"io_uring_enter", CAP_SYS_ADMIN},
    Denied{"io_uring_register", CAP_SYS_ADMIN},
    Denied{"iopl", CAP_SYS_RAWIO},
    Denied{"ioperm", CAP_SYS_RAWIO},
    Denied{"modify_ldt", CAP_SYS_RAWIO},
    Denied{"vm86", CAP_SYS_RAWIO},
    Denied{"syslog", CAP_SYSLOG},
    // the system's state
    Denied{"swapon", CAP_SYS_ADMIN},
    Denied{"swapoff", CAP_SYS_ADMIN},
    Denied{"quotactl", CAP_SYS_ADMIN},
    Denied{"quotactl_fd", CAP_SYS_ADMIN},
    Denied{"sethostname", CAP_SYS_ADMIN},
    Denied{"setdomainname", CAP_SYS_ADMIN},
    Denied{"acct", CAP_SYS_PACCT},
    Denied{"vhangup", CAP_SYS_TTY_CONFIG},
    Denied{"settimeofday", CAP_SYS_TIME},
    Denied{"clock_settime", CAP_SYS_TIME},
    Denied{"clock_settime64", CAP_SYS_TIME},
    Denied{"stime", CAP_SYS_TIME},
    // past permissions
    Denied{"open_by_handle_at", CAP_DAC_READ_SEARCH},
    Denied{"add_key", CAP_SYS_ADMIN},
    Denied{"request_key", CAP_SYS_ADMIN},
};

constexpr std::array<std::uint64_t, 8> namespace_flags{CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                                       CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET, CLONE_NEWTIME};

/// Typing on behalf of whoever reads the terminal.
constexpr std::array<std::uint64_t, 2> terminal_requests{TIOCSTI, TIOCLINUX};

/// What is no harm to refuse and would be one to kill for: libuv does without.
constexpr std::array tried_by_runtimes{"io_uring_setup", "io_uring_enter", "io_uring_register"};

constexpr std::array taken_by_the_start{"sendmsg", "execveat", "write", "exit_group"};

/// A C library that is newer than libseccomp falls back to older calls, as on an older kernel. Instructions for the
/// beginning of a filter.
std::array<sock_filter, 3> refuse_unknown_calls()
{
    std::int32_t newest = 1023; // numbers of today's architectures are below; special ones are far above
    while (newest > 0 && !std::unique_ptr<char, decltype(&std::free)>{
                             seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, newest), std::free})
        --newest;
    return {
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, static_cast<std::uint32_t>(newest), 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    };
}

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

class Builder
{
public:
    Builder(CapabilityMask held, Subject subject, std::uint32_t default_action = SCMP_ACT_ALLOW)
        : held_(held), subject_(subject), context_(seccomp_init(default_action), seccomp_release)
    {
        if (!context_) {
            error_ = ENOMEM;
            return;
        }
        // A binary search instead of one comparison a rule.
        note(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));
        note(seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
    }

    void allow(std::int32_t number)
    {
        if (error_ == 0)
            note(seccomp_rule_add(context_.get(), SCMP_ACT_ALLOW, number, 0));
    }

    void allow(const char* call)
    {
        const int number = seccomp_syscall_resolve_name(call);
        number < 0 ? note(-ENOSYS) : allow(number);
    }

    void deny_unless(std::span<const std::int32_t> allowed, const char* call)
    {
        if (std::find(allowed.begin(), allowed.end(), seccomp_syscall_resolve_name(call)) == allowed.end())
            deny(call);
    }

    void deny_calls()
    {
        for (const auto& entry : denied)
            if ((held_ & capability(entry.opened_by)) == 0)
                deny(entry.call);
        if ((held_ & capability(CAP_SYS_ADMIN)) == 0 && subject_ == Subject::module)
            deny("keyctl");
    }

    void deny_namespaces()
    {
        if ((held_ & capability(CAP_SYS_ADMIN)) != 0)
            return;
        for (const auto flag : namespace_flags) {
            deny_argument("unshare", {0, SCMP_CMP_MASKED_EQ, flag, flag});
            if (flag != CLONE_NEWTIME) // there, its bit is part of clone(2)'s exit signal
                deny_argument("clone", {0, SCMP_CMP_MASKED_EQ, flag, flag});
        }
        // It takes its flags in memory, where a filter cannot look; without it, the C library uses clone(2).
        if (subject_ == Subject::module)
            deny("clone3", ENOSYS);
    }

    /// Other processes of the same user, past what Landlock keeps a module from: with a limit of 0, or all by one call,
    /// it would end or starve its neighbours. Of its own group and itself (0) it may do as it likes.
    void deny_reaching_others()
    {
        constexpr scmp_arg_cmp other_first{0, SCMP_CMP_NE, 0, 0};
        constexpr scmp_arg_cmp other_second{1, SCMP_CMP_NE, 0, 0};
        if ((held_ & capability(CAP_SYS_RESOURCE)) == 0)
            deny_argument("prlimit64", other_first);
        if ((held_ & capability(CAP_KILL)) == 0)
            deny_argument("kill", equal(0, everybody));
        if ((held_ & capability(CAP_SYS_NICE)) != 0)
            return;
        deny_argument("setpriority", equal(0, PRIO_USER));
        deny_arguments("setpriority", std::array{equal(0, PRIO_PGRP), other_second});
        deny_argument("ioprio_set", equal(0, io_of_user));
        deny_arguments("ioprio_set", std::array{equal(0, io_of_group), other_second});
        deny_argument("migrate_pages", other_first);
        deny_argument("move_pages", other_first);
    }

    /// What a module starts stays below it, so that its end leaves it to the launcher (leftovers.hpp).
    void deny_lost_children()
    {
        if (subject_ == Subject::module)
            deny_arguments("prctl", std::array{equal(0, PR_SET_CHILD_SUBREAPER), scmp_arg_cmp{1, SCMP_CMP_EQ, 0, 0}});
    }

    void deny_terminal_input()
    {
        if ((held_ & capability(CAP_SYS_ADMIN)) == 0)
            for (const auto request : terminal_requests)
                deny_argument("ioctl", equal(1, request));
    }

    tl::expected<std::vector<sock_filter>, int> compile()
    {
        const FileDescriptor file{::memfd_create("filter", MFD_CLOEXEC)};
        if (!file)
            note(-errno);
        if (error_ == 0)
            note(seccomp_export_bpf(context_.get(), file.get()));
        struct stat status
        {};
        if (error_ == 0 && ::fstat(file.get(), &status) != 0)
            note(-errno);
        if (error_ != 0)
            return tl::unexpected(error_);
        std::vector<sock_filter> program(static_cast<std::size_t>(status.st_size) / sizeof(sock_filter));
        const auto size = program.size() * sizeof(sock_filter);
        if (::pread(file.get(), program.data(), size, 0) != static_cast<ssize_t>(size))
            return tl::unexpected(EIO);
        return program;
    }

private:
    void note(int result)
    {
        if (error_ == 0 && result < 0)
            error_ = -result;
    }

    /// Of all filters' verdicts SECCOMP_RET_ERRNO beats SECCOMP_RET_USER_NOTIF, and that beats SECCOMP_RET_TRACE.
    [[nodiscard]] std::uint32_t refusal(std::uint16_t error) const
    {
        return subject_ == Subject::launcher ? SCMP_ACT_TRACE(0) : SCMP_ACT_ERRNO(error);
    }

    void deny(const char* call, std::uint16_t error = EPERM)
    {
        const int number = seccomp_syscall_resolve_name(call);
        if (number == __NR_SCMP_ERROR)
            note(-ENOSYS); // a misspelt name must not become a hole
        else if (error_ == 0)
            note(seccomp_rule_add(context_.get(), refusal(error), number, 0));
    }

    static constexpr std::uint64_t all_the_kernel_reads = 0xffffffff; // of an int
    static constexpr std::uint64_t everybody = all_the_kernel_reads;  // kill(2)'s -1

    static constexpr scmp_arg_cmp equal(unsigned argument, std::uint64_t value)
    {
        return {argument, SCMP_CMP_MASKED_EQ, all_the_kernel_reads, value};
    }

    void deny_argument(const char* call, scmp_arg_cmp argument) { deny_arguments(call, std::array{argument}); }

    void deny_arguments(const char* call, std::span<const scmp_arg_cmp> arguments)
    {
        if (error_ == 0)
            note(seccomp_rule_add_array(context_.get(), refusal(EPERM), seccomp_syscall_resolve_name(call),
                                        static_cast<unsigned>(arguments.size()), arguments.data()));
    }

    CapabilityMask held_;
    Subject subject_;
    Context context_;
    int error_ = 0;
};

} // namespace

tl::expected<std::vector<sock_filter>, int> deny_list(CapabilityMask held, Subject subject)
{
    Builder builder{held, subject};
    builder.deny_calls();
    builder.deny_namespaces();
    builder.deny_reaching_others();
    builder.deny_lost_children();
    builder.deny_terminal_input();
    return builder.compile();
}

tl::expected<std::vector<sock_filter>, int> argument_rules(CapabilityMask held, std::span<const std::int32_t> allowed)
{
    Builder builder{held, Subject::module};
    builder.deny_namespaces();
    builder.deny_reaching_others();
    builder.deny_lost_children();
    builder.deny_terminal_input();
    for (const auto* call : tried_by_runtimes)
        builder.deny_unless(allowed, call);
    auto program = builder.compile();
    if (program) {
        const auto prologue = refuse_unknown_calls();
        program->insert(program->begin(), prologue.begin(), prologue.end());
    }
    return program;
}

tl::expected<std::vector<sock_filter>, int> allow_list(std::span<const std::int32_t> allowed)
{
    Builder builder{0, Subject::module, SCMP_ACT_NOTIFY};
    for (const auto number : allowed)
        builder.allow(number);
    for (const auto* call : taken_by_the_start)
        builder.allow(call);
    return builder.compile();
}

tl::expected<Filters, int> filters_of(const ProcessPlan& plan, CapabilityMask held)
{
    const auto policy = plan.system_call_policy;
    Filters result;
    if (policy == SystemCallPolicy::any)
        return result;
    const bool lists_allowed = policy == SystemCallPolicy::allow_list;
    auto refusing = lists_allowed ? argument_rules(held, plan.system_calls) : deny_list(held, Subject::module);
    if (!refusing)
        return tl::unexpected(refusing.error());
    result.refusing = std::move(*refusing);
    if (!lists_allowed)
        return result;
    auto allowing = allow_list(plan.system_calls);
    if (!allowing)
        return tl::unexpected(allowing.error());
    result.allowing = std::move(*allowing);
    return result;
}

} // namespace belay::launcher
