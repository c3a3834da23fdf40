// SPDX-License-Identifier: Apache-2.0
//
// What is to be there when the module is not. All of it bounded: three processes that end by themselves, a megabyte.

#include "tests/attack/attempt.hpp"

#include <array>
#include <csignal>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <unistd.h>

namespace attack {

namespace {

constexpr unsigned longest_s = 120;

[[noreturn]] void survive()
{
    ::alarm(longest_s);
    for (const int number : {SIGTERM, SIGHUP, SIGINT})
        ::signal(number, SIG_IGN);
    ::prctl(PR_SET_PDEATHSIG, 0);
    for (;;)
        ::pause();
}

/// Each in a session of its own, a child of nobody.
Outcome daemons(const Context& context)
{
    constexpr int count = 3;
    const pid_t parent = ::fork();
    if (parent == 0) {
        ::setsid();
        for (int i = 0; i < count; ++i)
            if (::fork() == 0) {
                ::setsid();
                survive();
            }
        ::_exit(0);
    }
    return parent < 0 ? unjudged("no process") : Outcome{Verdict::outside, 0, context.module};
}

Outcome subreaper(const Context& /*unused*/)
{
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_CHILD_SUBREAPER, 1);
        ::setpgid(0, 0);
        if (::fork() == 0)
            survive();
        survive();
    }
    return child < 0 ? unjudged("no process") : Outcome{Verdict::outside, 0, ""};
}

Outcome shared_memory(const Context& /*unused*/)
{
    constexpr std::size_t size = 1 << 20;
    return ::shmget(IPC_PRIVATE, size, IPC_CREAT | 0600) < 0 ? judge(-1) : Outcome{Verdict::outside, 0, ""};
}

constexpr std::array table{
    Attempt{"survivors", "processes in their own sessions", "outlive the charger", daemons},
    Attempt{"survivors", "a process tree with a reaper", "outlive the charger", subreaper},
    Attempt{"survivors", "System V memory", "outlive the charger", shared_memory},
};

} // namespace

std::span<const Attempt> survivors()
{
    return table;
}

} // namespace attack
