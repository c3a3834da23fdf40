// SPDX-License-Identifier: Apache-2.0
//
// Taking so much that nothing is left for others. Every loop is bounded, limit or no limit; the limits are those that
// test_attack.py writes to belay.yaml, and half of what is tried here.

#include "tests/attack/attempt.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <mqueue.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace attack {

namespace {

constexpr std::size_t megabyte = 1 << 20;

/// As often as `most` says; the first refusal ends it.
template <typename Action>
Outcome fill(long most, const Context& context, const char* limit, Action action, Errors refusals)
{
    for (long i = 0; i < most; ++i)
        if (action(i) < 0) {
            auto outcome = judge(-1, refusals);
            outcome.note = "after " + std::to_string(i);
            return i <= context.number(limit) ? outcome : escaped("more than " + std::to_string(context.number(limit)));
        }
    return escaped(std::to_string(most));
}

Outcome processes(const Context& context)
{
    std::vector<pid_t> children;
    const auto outcome = fill(2 * context.number("limit_processes"), context, "limit_processes",
                              [&](long) {
                                  const pid_t pid = ::fork();
                                  if (pid == 0) {
                                      ::pause();
                                      ::_exit(0);
                                  }
                                  if (pid > 0)
                                      children.push_back(pid);
                                  return pid;
                              },
                              {EAGAIN});
    for (const pid_t pid : children)
        ::kill(pid, SIGKILL);
    for (const pid_t pid : children)
        ::waitpid(pid, nullptr, 0);
    return outcome;
}

Outcome descriptors(const Context& context)
{
    return fill(2 * context.number("limit_descriptors"), context, "limit_descriptors",
                [](long) { return ::eventfd(0, 0); }, {EMFILE});
}

Outcome memory(const Context& context)
{
    return fill(2 * context.number("limit_megabytes"), context, "limit_megabytes",
                [](long) {
                    auto* block = ::mmap(nullptr, megabyte, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
                    if (block == MAP_FAILED)
                        return -1;
                    *static_cast<volatile char*>(block) = 1;
                    return 0;
                },
                {ENOMEM});
}

Outcome locked_memory(const Context& context)
{
    return fill(2 * context.number("limit_locked_megabytes"), context, "limit_locked_megabytes",
                [](long) {
                    auto* block = ::mmap(nullptr, megabyte, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                    return block == MAP_FAILED ? -1 : ::mlock(block, megabyte);
                },
                {ENOMEM, EPERM, EAGAIN});
}

Outcome large_file(const Context& context)
{
    ::signal(SIGXFSZ, SIG_IGN);
    const auto path = context.text("home") + "/large" + std::to_string(::getpid());
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    const std::vector<char> block(megabyte);
    const auto outcome = fill(2 * context.number("limit_file_megabytes"), context, "limit_file_megabytes",
                              [&](long) { return ::write(file, block.data(), block.size()); }, {EFBIG});
    ::unlink(path.c_str());
    return outcome;
}

/// To the last byte, and left there; the driver has made it small.
Outcome shared_memory(const Context& context)
{
    const std::vector<char> block(megabyte);
    for (long i = 0; i < 2 * context.number("shm_megabytes"); ++i) {
        const auto path = "/dev/shm/filler" + std::to_string(i);
        const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (file < 0)
            return judge(file);
        const auto written = ::write(file, block.data(), block.size());
        ::close(file);
        if (written < static_cast<ssize_t>(block.size()))
            return {Verdict::outside, ENOSPC, "full after " + std::to_string(i) + " MB"};
    }
    return unjudged("it does not become full");
}

/// More than its own limit: what counts against nobody once it is made.
Outcome system_v_memory(const Context& context)
{
    std::vector<int> segments;
    const auto outcome = fill(2 * context.number("limit_megabytes"), context, "limit_megabytes",
                              [&](long) {
                                  segments.push_back(::shmget(IPC_PRIVATE, megabyte, IPC_CREAT | 0600));
                                  return segments.back();
                              },
                              {ENOSPC, ENOMEM});
    for (const int segment : segments)
        ::shmctl(segment, IPC_RMID, nullptr);
    return outcome;
}

Outcome message_queues(const Context& context)
{
    std::vector<std::string> names;
    const auto outcome = fill(2 * context.number("limit_queues"), context, "limit_queues",
                              [&](long i) {
                                  names.push_back("/owned" + std::to_string(i));
                                  return ::mq_open(names.back().c_str(), O_RDWR | O_CREAT, 0600, nullptr);
                              },
                              {EMFILE, ENOSPC});
    for (const auto& name : names)
        ::mq_unlink(name.c_str());
    return outcome;
}

Outcome pending_signals(const Context& context)
{
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGRTMIN);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    return fill(2 * context.number("limit_signals"), context, "limit_signals",
                [](long) { return ::sigqueue(::getpid(), SIGRTMIN, sigval{}); }, {EAGAIN});
}

/// A core of a privileged process may hold secrets, and fills the disk.
Outcome core_dump(const Context& /*unused*/)
{
    const rlimit wanted{RLIM_INFINITY, RLIM_INFINITY};
    return judge(::setrlimit(RLIMIT_CORE, &wanted));
}

Outcome log(const Context& context)
{
    const std::string line(1023, 'x');
    for (long i = 0; i < 1024 * context.number("log_megabytes"); ++i)
        if (::write(STDOUT_FILENO, (line + '\n').data(), line.size() + 1) < 0)
            return judge(-1, {EFBIG, EAGAIN});
    return {Verdict::outside, 0, std::to_string(context.number("log_megabytes")) + " MB"};
}

constexpr std::array table{
    Attempt{"resources", "processes", "have more than LimitNPROC", processes},
    Attempt{"resources", "descriptors", "have more than LimitNOFILE", descriptors},
    Attempt{"resources", "memory", "have more than LimitAS", memory},
    Attempt{"resources", "locked memory", "have more than LimitMEMLOCK", locked_memory},
    Attempt{"resources", "a large file", "exceed LimitFSIZE", large_file},
    Attempt{"resources", "message queues", "have more than LimitMSGQUEUE", message_queues},
    Attempt{"resources", "pending signals", "have more than LimitSIGPENDING", pending_signals},
    Attempt{"resources", "System V memory", "have more than LimitAS", system_v_memory},
    Attempt{"resources", "core dumps", "have them although LimitCORE is 0", core_dump},
    Attempt{"resources", "all of /dev/shm", "stop others", shared_memory},
    Attempt{"resources", "the log", "stop the manager", log},
};

} // namespace

std::span<const Attempt> resources()
{
    return table;
}

} // namespace attack
