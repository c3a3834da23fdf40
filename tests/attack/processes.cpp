// SPDX-License-Identifier: Apache-2.0
//
// Other processes, by system calls: neighbours of the same user, the manager, the launcher.

#include "tests/attack/attempt.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <thread>

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace attack {

namespace {

constexpr int harmless = SIGURG; // ignored by default: an attempt that gets through disturbs nobody

int open_pid(pid_t pid)
{
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

Outcome signal_all(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) { return ::kill(pid, harmless); });
}

Outcome signal_threads(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) { return ::syscall(SYS_tgkill, pid, pid, harmless); });
}

Outcome signal_groups(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) { return ::kill(-::getpgid(pid), harmless); });
}

Outcome signal_by_pidfd(const Context& context)
{
    return for_each(context.everybody(),
                    [](pid_t pid) { return ::syscall(SYS_pidfd_send_signal, open_pid(pid), harmless, nullptr, 0); });
}

/// We ourselves ignore it (hostile.cpp); everybody else would end.
Outcome signal_whoever(const Context& /*unused*/)
{
    return ::kill(-1, SIGUSR1) < 0 ? judge(-1) : Outcome{Verdict::outside, 0, ""};
}

siginfo_t forged()
{
    siginfo_t info{};
    info.si_signo = harmless;
    info.si_code = SI_QUEUE;
    info.si_pid = 1;
    return info;
}

Outcome queue_signals(const Context& context)
{
    auto info = forged();
    return for_each(context.everybody(),
                    [&](pid_t pid) { return ::syscall(SYS_rt_sigqueueinfo, pid, harmless, &info); });
}

Outcome queue_signals_to_threads(const Context& context)
{
    auto info = forged();
    return for_each(context.everybody(),
                    [&](pid_t pid) { return ::syscall(SYS_rt_tgsigqueueinfo, pid, pid, harmless, &info); });
}

bool stopped(pid_t pid)
{
    const auto text = slurp(proc(pid, "stat"));
    return text.find(") T ") != std::string::npos;
}

/// What the kernel sends by itself when a pipe becomes readable; it says nothing of refusals.
bool stop_by_pipe(pid_t pid)
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return false;
    ::fcntl(ends[0], F_SETOWN, pid);
    ::fcntl(ends[0], F_SETSIG, SIGSTOP);
    ::fcntl(ends[0], F_SETFL, O_ASYNC);
    if (::write(ends[1], "x", 1) != 1)
        return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20)); // the time in which it would stop
    const bool worked = stopped(pid);
    ::fcntl(ends[0], F_SETSIG, SIGCONT);
    if (worked && ::write(ends[1], "x", 1) != 1)
        return true;
    return worked;
}

Outcome signal_by_pipe(const Context& context)
{
    for (const pid_t pid : context.everybody())
        if (stop_by_pipe(pid))
            return escaped("stopped " + std::to_string(pid));
    return refused(0, "nobody stopped");
}

Outcome seize(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) { return ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr); });
}

Outcome attach(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) {
        const long result = ::ptrace(PTRACE_ATTACH, pid, nullptr, nullptr);
        if (result == 0) {
            ::waitpid(pid, nullptr, __WALL);
            ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
        }
        return result;
    });
}

/// The address does not matter: whoever may is told EFAULT.
template <typename Call>
Outcome move_memory(const Context& context, Call call)
{
    return for_each(context.everybody(), [&](pid_t pid) -> long {
        long word = 0;
        const iovec own{&word, sizeof word};
        const iovec other{&word, sizeof word};
        const long result = call(pid, own, other);
        return result < 0 && errno == EFAULT ? 0 : result;
    });
}

Outcome read_memory(const Context& context)
{
    return move_memory(context, [](pid_t pid, const iovec& own, const iovec& other) {
        return ::process_vm_readv(pid, &own, 1, &other, 1, 0);
    });
}

Outcome write_memory(const Context& context)
{
    return move_memory(context, [](pid_t pid, const iovec& own, const iovec&) {
        const iovec nowhere{reinterpret_cast<void*>(16), sizeof(long)};
        return ::process_vm_writev(pid, &own, 1, &nowhere, 1, 0);
    });
}

Outcome take_descriptor(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) { return ::syscall(SYS_pidfd_getfd, open_pid(pid), 0, 0); });
}

Outcome advise(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) -> long {
        iovec part{nullptr, 0};
        return ::syscall(SYS_process_madvise, open_pid(pid), &part, 1, MADV_COLD, 0);
    });
}

Outcome compare(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) { return ::syscall(SYS_kcmp, pid, pid, KCMP_FILE, 0, 0); });
}

/// Reads only; a limit that is written would end or cripple the other.
Outcome limits(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) {
        rlimit64 value{};
        return ::syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, nullptr, &value);
    });
}

long set_scheduler(pid_t pid)
{
    const sched_param parameters{};
    const int result = ::sched_setscheduler(pid, SCHED_BATCH, &parameters);
    if (result == 0)
        ::sched_setscheduler(pid, SCHED_OTHER, &parameters);
    return result;
}

long set_nice(pid_t pid)
{
    return ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), 1);
}

long set_io_class(pid_t pid)
{
    constexpr int best_effort_5 = 2 << 13 | 5;
    return ::syscall(SYS_ioprio_set, 1, pid, best_effort_5);
}

long set_affinity(pid_t pid)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    const int result = ::sched_getaffinity(pid, sizeof set, &set);
    return result < 0 ? result : ::sched_setaffinity(pid, sizeof set, &set);
}

Outcome scheduler(const Context& context)
{
    return for_each(context.neighbours, set_scheduler);
}

Outcome nice_value(const Context& context)
{
    return for_each(context.neighbours, set_nice);
}

Outcome io_class(const Context& context)
{
    return for_each(context.neighbours, set_io_class);
}

Outcome affinity(const Context& context)
{
    return for_each(context.neighbours, set_affinity);
}

Outcome scheduling_of(pid_t pid)
{
    for (auto* action : {set_scheduler, set_nice, set_io_class, set_affinity})
        if (const auto outcome = for_each(std::vector<pid_t>{pid}, action); outcome.verdict != Verdict::refused)
            return outcome;
    return refused(EPERM);
}

Outcome scheduling_of_manager(const Context& context)
{
    return scheduling_of(context.manager);
}

Outcome scheduling_of_launcher(const Context& context)
{
    return scheduling_of(context.launcher);
}

/// Its own: real time would starve all others.
Outcome real_time(const Context& /*unused*/)
{
    sched_param parameters{};
    parameters.sched_priority = 1;
    return judge(::sched_setscheduler(0, SCHED_FIFO, &parameters));
}

Outcome own_nice(const Context& /*unused*/)
{
    return judge(::setpriority(PRIO_PROCESS, 0, -5));
}

Outcome own_io_class(const Context& /*unused*/)
{
    constexpr int real_time_0 = 1 << 13;
    return judge(::syscall(SYS_ioprio_set, 1, 0, real_time_0));
}

Outcome own_limit(const Context& /*unused*/)
{
    const rlimit value{RLIM_INFINITY, RLIM_INFINITY};
    return judge(::setrlimit(RLIMIT_AS, &value));
}

constexpr std::array table{
    Attempt{"processes", "kill", "signal another", signal_all},
    Attempt{"processes", "kill: process groups", "signal another", signal_groups},
    Attempt{"processes", "kill: -1", "signal another", signal_whoever},
    Attempt{"processes", "tgkill", "signal another", signal_threads},
    Attempt{"processes", "pidfd_send_signal", "signal another", signal_by_pidfd},
    Attempt{"processes", "rt_sigqueueinfo", "signal another", queue_signals},
    Attempt{"processes", "rt_tgsigqueueinfo", "signal another", queue_signals_to_threads},
    Attempt{"processes", "F_SETOWN and SIGIO", "signal another", signal_by_pipe},
    Attempt{"processes", "ptrace: seize", "rule another", seize},
    Attempt{"processes", "ptrace: attach", "rule another", attach},
    Attempt{"processes", "process_vm_readv", "read another's memory", read_memory},
    Attempt{"processes", "process_vm_writev", "write another's memory", write_memory},
    Attempt{"processes", "process_madvise", "slow another down", advise},
    Attempt{"processes", "pidfd_getfd", "take another's descriptor", take_descriptor},
    Attempt{"processes", "kcmp", "learn of another", compare},
    Attempt{"processes", "prlimit", "set another's limits", limits},
    Attempt{"scheduling", "sched_setscheduler of neighbours", "starve another", scheduler},
    Attempt{"scheduling", "setpriority of neighbours", "starve another", nice_value},
    Attempt{"scheduling", "ioprio_set of neighbours", "starve another", io_class},
    Attempt{"scheduling", "sched_setaffinity of neighbours", "starve another", affinity},
    Attempt{"scheduling", "any of these of the manager", "starve the manager", scheduling_of_manager},
    Attempt{"scheduling", "any of these of the launcher", "starve the launcher", scheduling_of_launcher},
    Attempt{"scheduling", "SCHED_FIFO for itself", "starve all", real_time},
    Attempt{"scheduling", "nice -5 for itself", "starve all", own_nice},
    Attempt{"scheduling", "real-time I/O for itself", "starve all", own_io_class},
    Attempt{"scheduling", "raise its own hard limit", "exceed its plan", own_limit},
};

} // namespace

std::span<const Attempt> processes()
{
    return table;
}

} // namespace attack
