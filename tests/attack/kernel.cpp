// SPDX-License-Identifier: Apache-2.0
//
// Namespaces, mounts, and the kernel itself.

#include "tests/attack/attempt.hpp"

#include <array>
#include <csignal>
#include <cstdint>
#include <filesystem>

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

namespace attack {

namespace {

namespace fs = std::filesystem;

Outcome of_child(long pid, Errors refusals = {EPERM, EACCES})
{
    if (pid == 0)
        ::_exit(0);
    const int error = errno;
    if (pid > 0)
        ::waitpid(static_cast<pid_t>(pid), nullptr, 0);
    errno = error;
    return judge(pid, refusals);
}

Outcome unshare_user(const Context& /*unused*/)
{
    return judge(::unshare(CLONE_NEWUSER));
}

Outcome clone_user(const Context& /*unused*/)
{
    return of_child(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

/// ENOSYS is how a filter that cannot see the flags sends the C library to clone(2).
Outcome clone3_user(const Context& /*unused*/)
{
    clone_args arguments{};
    arguments.flags = CLONE_NEWUSER;
    arguments.exit_signal = SIGCHLD;
    return of_child(::syscall(SYS_clone3, &arguments, sizeof arguments), {EPERM, ENOSYS});
}

Outcome unshare_others(const Context& /*unused*/)
{
    for (const int flag : {CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP})
        if (const auto outcome = judge(::unshare(flag)); outcome.verdict != Verdict::refused)
            return outcome;
    return refused(EPERM);
}

Outcome join_own(const Context& /*unused*/)
{
    const int file = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    return file < 0 ? unjudged("no namespace") : judge(::setns(file, 0));
}

Outcome join_by_pidfd(const Context& context)
{
    const auto file = static_cast<int>(::syscall(SYS_pidfd_open, context.launcher, 0));
    return file < 0 ? unjudged("no pidfd") : judge(::setns(file, CLONE_NEWUTS));
}

Outcome mount_memory(const Context& context)
{
    return judge(::mount("tmpfs", context.text("home").c_str(), "tmpfs", 0, nullptr));
}

Outcome mount_over_program(const Context& context)
{
    return judge(
        ::mount(context.text("home").c_str(), context.text("module_directory").c_str(), nullptr, MS_BIND, nullptr));
}

Outcome unmount(const Context& /*unused*/)
{
    return judge(::umount2("/dev/shm", MNT_DETACH));
}

Outcome new_mount_calls(const Context& /*unused*/)
{
    const long opened = ::syscall(SYS_fsopen, "tmpfs", 0);
    return opened >= 0 ? judge(opened) : judge(::syscall(SYS_open_tree, AT_FDCWD, "/dev/shm", 1));
}

Outcome change_root(const Context& context)
{
    return judge(::chroot(context.text("home").c_str()));
}

Outcome pivot(const Context& context)
{
    const auto home = context.text("home");
    if (context.control && ::mount(home.c_str(), home.c_str(), nullptr, MS_BIND, nullptr) != 0)
        return unjudged("no mount point");
    return judge(::chdir(home.c_str()) == 0 ? ::syscall(SYS_pivot_root, ".", ".") : -1);
}

Outcome load_bpf(const Context& /*unused*/)
{
    bpf_attr attributes{};
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = attributes.value_size = 4;
    attributes.max_entries = 1;
    return judge(::syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}

Outcome observe_performance(const Context& /*unused*/)
{
    perf_event_attr attributes{};
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_SW_CPU_CLOCK;
    attributes.exclude_kernel = 1;
    return judge(::syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

Outcome handle_faults(const Context& /*unused*/)
{
    constexpr int user_mode_only = 1;
    return judge(::syscall(SYS_userfaultfd, O_CLOEXEC | user_mode_only));
}

Outcome set_up_ring(const Context& /*unused*/)
{
    std::array<std::uint32_t, 30> parameters{}; // io_uring_params
    return judge(::syscall(SYS_io_uring_setup, 1, parameters.data()));
}

/// Whoever is told that the image is none has passed the check of privileges.
Outcome load_module(const Context& /*unused*/)
{
    const long result = ::syscall(SYS_init_module, "none", 4, "");
    return errno == ENOEXEC ? escaped("the kernel read it") : judge(result);
}

Outcome unload_module(const Context& /*unused*/)
{
    const long result = ::syscall(SYS_delete_module, "no_such_module", O_NONBLOCK);
    return errno == ENOENT ? escaped("the kernel looked for it") : judge(result);
}

/// No segments: there is nothing to load, for those who may.
Outcome load_kernel(const Context& /*unused*/)
{
    return judge(::syscall(SYS_kexec_load, 0, 0, nullptr, 0));
}

Outcome restart_key(const Context& /*unused*/)
{
    const long result =
        ::syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_CAD_OFF, nullptr);
    return errno == EINVAL ? escaped("refused only for being in a pid namespace") : judge(result);
}

Outcome kernel_log(const Context& /*unused*/)
{
    std::array<char, 64> buffer{};
    return judge(::klogctl(3, buffer.data(), buffer.size()));
}

Outcome write_kernel_log(const Context& /*unused*/)
{
    return judge(try_open("/dev/kmsg", O_WRONLY));
}

/// Not every kernel has all of them; a control has at least one.
Outcome any_file(const std::vector<std::string>& paths, int flags)
{
    bool there = false;
    for (const auto& path : paths) {
        const int file = try_open(path, flags);
        if (file >= 0)
            return escaped(path);
        if (errno != ENOENT && errno != EPERM && errno != EACCES && errno != EROFS)
            return unjudged(path);
        there = there || errno != ENOENT;
    }
    return there ? refused(EACCES) : refused(ENOENT);
}

Outcome physical_memory(const Context& /*unused*/)
{
    return any_file({"/dev/mem", "/dev/kmem", "/dev/port", "/proc/kcore"}, O_RDONLY);
}

Outcome block_devices(const Context& /*unused*/)
{
    std::vector<std::string> paths;
    for (const auto& entry : fs::directory_iterator{"/dev"})
        if (entry.is_block_file())
            paths.push_back(entry.path());
    return paths.empty() ? unjudged("no block device") : any_file(paths, O_RDONLY);
}

Outcome magic_key(const Context& /*unused*/)
{
    return any_file({"/proc/sysrq-trigger"}, O_WRONLY);
}

Outcome kernel_helpers(const Context& /*unused*/)
{
    return any_file({"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
                     "/sys/kernel/uevent_helper"},
                    O_WRONLY);
}

/// Some are writable for all and then ask for more: what is there is written back.
bool takes(const fs::path& path)
{
    const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
    std::array<char, 256> buffer{};
    const auto size = file < 0 ? -1 : ::read(file, buffer.data(), buffer.size());
    const bool taken = size > 0 && ::pwrite(file, buffer.data(), static_cast<std::size_t>(size), 0) == size;
    ::close(file);
    return taken;
}

Outcome tunables(const Context& /*unused*/)
{
    std::error_code error;
    std::size_t seen = 0;
    for (auto entry =
             fs::recursive_directory_iterator{"/proc/sys", fs::directory_options::skip_permission_denied, error};
         entry != fs::recursive_directory_iterator{}; entry.increment(error))
        if (entry->is_regular_file(error) && ++seen > 0 && takes(entry->path()))
            return escaped(entry->path());
    return seen > 0 ? refused(EACCES) : unjudged("no /proc/sys");
}

Outcome system_files(const Context& /*unused*/)
{
    std::error_code error;
    std::size_t seen = 0;
    for (auto entry = fs::recursive_directory_iterator{"/sys", fs::directory_options::skip_permission_denied, error};
         entry != fs::recursive_directory_iterator{}; entry.increment(error))
        if (entry->is_regular_file(error) && ++seen > 0 && try_open(entry->path(), O_WRONLY) >= 0)
            return escaped(entry->path());
    return seen > 0 ? refused(EACCES) : unjudged("no /sys");
}

Outcome control_groups(const Context& context)
{
    std::vector<std::string> paths;
    for (const auto& directory : context.told.at("cgroups"))
        for (const auto* file : {"cgroup.procs", "tasks", "memory.limit_in_bytes", "memory.max", "cgroup.kill"})
            paths.push_back(directory.get<std::string>() + '/' + file);
    return any_file(paths, O_WRONLY);
}

Outcome make_device(const Context& context)
{
    const auto path = context.text("home") + "/memory" + std::to_string(::getpid());
    return judge(::mknod(path.c_str(), S_IFCHR | 0600, ::makedev(1, 1)));
}

Outcome swap_off(const Context& /*unused*/)
{
    const int result = ::swapoff("/no-such-file");
    return errno == ENOENT ? escaped("the kernel looked for it") : judge(result);
}

Outcome host_name(const Context& /*unused*/)
{
    return judge(::sethostname("owned", 5));
}

Outcome system_time(const Context& /*unused*/)
{
    const struct timezone zone
    {};
    return judge(::settimeofday(nullptr, &zone));
}

Outcome open_by_handle(const Context& /*unused*/)
{
    std::array<std::byte, sizeof(struct file_handle) + MAX_HANDLE_SZ> room{};
    auto* handle = reinterpret_cast<struct file_handle*>(room.data());
    handle->handle_bytes = MAX_HANDLE_SZ;
    int mount = 0;
    if (::name_to_handle_at(AT_FDCWD, "/etc/hostname", handle, &mount, 0) != 0)
        return unjudged("no handle");
    const int directory = ::open("/etc", O_RDONLY | O_CLOEXEC);
    return judge(::open_by_handle_at(directory, handle, O_RDONLY));
}

#if defined(__x86_64__) || defined(__i386__)
Outcome io_ports(const Context& /*unused*/)
{
    return judge(::syscall(SYS_iopl, 3));
}
#endif

constexpr std::array table
{
    Attempt{"namespaces", "unshare: user", "be root in one of its own", unshare_user},
        Attempt{"namespaces", "clone: user", "be root in one of its own", clone_user},
        Attempt{"namespaces", "clone3: user", "be root in one of its own", clone3_user},
        Attempt{"namespaces", "unshare: any other", "see another system", unshare_others},
        Attempt{"namespaces", "setns: its own", "join another", join_own},
        Attempt{"namespaces", "setns: the launcher's, by pidfd", "join another", join_by_pidfd},
        Attempt{"mounts", "tmpfs over home", "change what others see", mount_memory},
        Attempt{"mounts", "home over the modules", "replace a module", mount_over_program},
        Attempt{"mounts", "umount /dev/shm", "change what others see", unmount},
        Attempt{"mounts", "fsopen, open_tree", "change what others see", new_mount_calls},
        Attempt{"mounts", "chroot", "deceive a privileged program", change_root},
        Attempt{"mounts", "pivot_root", "change what others see", pivot},
        Attempt{"kernel", "bpf", "run in the kernel", load_bpf},
        Attempt{"kernel", "perf_event_open", "observe others", observe_performance},
        Attempt{"kernel", "userfaultfd", "stop the kernel in a copy", handle_faults},
        Attempt{"kernel", "io_uring", "go past the filter", set_up_ring},
        Attempt{"kernel", "init_module", "run in the kernel", load_module},
        Attempt{"kernel", "delete_module", "disable a driver", unload_module},
        Attempt{"kernel", "kexec_load", "start another kernel", load_kernel},
        Attempt{"kernel", "reboot: Ctrl-Alt-Del off", "stop the board", restart_key},
        Attempt{"kernel", "syslog: read all", "learn addresses", kernel_log},
        Attempt{"kernel", "/dev/kmsg for writing", "forge the kernel's log", write_kernel_log},
        Attempt{"kernel", "/dev/mem, /proc/kcore", "read all memory", physical_memory},
        Attempt{"kernel", "block devices", "read all files", block_devices},
        Attempt{"kernel", "mknod: memory", "read all memory", make_device},
        Attempt{"kernel", "/proc/sysrq-trigger", "stop the board", magic_key},
        Attempt{"kernel", "core_pattern, modprobe", "have root run its program", kernel_helpers},
        Attempt{"kernel", "any of /proc/sys", "change a tunable", tunables},
        Attempt{"kernel", "any of /sys", "change a device", system_files},
        Attempt{"kernel", "cgroup files", "leave or squeeze a cgroup", control_groups},
        Attempt{"kernel", "swapoff", "change the system", swap_off},
        Attempt{"kernel", "sethostname", "change the system", host_name},
        Attempt{"kernel", "settimeofday", "change the system", system_time},
        Attempt{"kernel", "open_by_handle_at", "open past directories", open_by_handle},
#if defined(__x86_64__) || defined(__i386__)
        Attempt{"kernel", "iopl", "reach the hardware", io_ports},
#endif
};

} // namespace

std::span<const Attempt> kernel()
{
    return table;
}

} // namespace attack
