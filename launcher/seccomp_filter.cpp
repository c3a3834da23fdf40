// SPDX-License-Identifier: Apache-2.0
#include "launcher/seccomp_filter.hpp"

#include "launcher/capability_sets.hpp"
#include "launcher/descriptor.hpp"

#include <seccomp.h>

#include <array>
#include <cerrno>
#include <memory>

#include <linux/capability.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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

/// Of an argument that is an int.
constexpr std::uint64_t all_the_kernel_reads = 0xffffffff;

/// Typing on behalf of whoever reads the terminal.
constexpr std::array<std::uint64_t, 2> terminal_requests{TIOCSTI, TIOCLINUX};

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

class Builder
{
public:
    Builder(CapabilityMask held, Subject subject)
        : held_(held), subject_(subject), context_(seccomp_init(SCMP_ACT_ALLOW), seccomp_release)
    {
        if (!context_)
            error_ = ENOMEM;
        else // a binary search instead of one comparison a rule
            note(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));
    }

    void deny_calls()
    {
        for (const auto& entry : denied)
            if ((held_ & capability(entry.opened_by)) == 0)
                deny(entry.call, EPERM);
        if ((held_ & capability(CAP_SYS_ADMIN)) == 0 && subject_ == Subject::module)
            deny("keyctl", EPERM);
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

    /// Of other processes: with a limit of 0 a module would end its neighbours, past what Landlock keeps it from.
    void deny_limits_of_others()
    {
        if ((held_ & capability(CAP_SYS_RESOURCE)) == 0)
            deny_argument("prlimit64", {0, SCMP_CMP_NE, 0, 0});
    }

    /// What a module starts stays below it, so that its end leaves it to the launcher (leftovers.hpp).
    void deny_lost_children()
    {
        const std::array arguments{scmp_arg_cmp{0, SCMP_CMP_MASKED_EQ, all_the_kernel_reads, PR_SET_CHILD_SUBREAPER},
                                   scmp_arg_cmp{1, SCMP_CMP_EQ, 0, 0}};
        if (subject_ == Subject::module && error_ == 0)
            note(seccomp_rule_add_array(context_.get(), SCMP_ACT_ERRNO(EPERM), seccomp_syscall_resolve_name("prctl"),
                                        arguments.size(), arguments.data()));
    }

    void deny_terminal_input()
    {
        if ((held_ & capability(CAP_SYS_ADMIN)) == 0)
            for (const auto request : terminal_requests)
                deny_argument("ioctl", {1, SCMP_CMP_MASKED_EQ, all_the_kernel_reads, request});
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

    void deny(const char* call, int error)
    {
        const int number = seccomp_syscall_resolve_name(call);
        if (number == __NR_SCMP_ERROR)
            note(-ENOSYS); // a misspelt name must not become a hole
        else if (error_ == 0)
            note(seccomp_rule_add(context_.get(), SCMP_ACT_ERRNO(static_cast<std::uint16_t>(error)), number, 0));
    }

    void deny_argument(const char* call, scmp_arg_cmp argument)
    {
        if (error_ == 0)
            note(seccomp_rule_add_array(context_.get(), SCMP_ACT_ERRNO(EPERM), seccomp_syscall_resolve_name(call), 1,
                                        &argument));
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
    builder.deny_limits_of_others();
    builder.deny_lost_children();
    builder.deny_terminal_input();
    return builder.compile();
}

} // namespace belay::launcher
