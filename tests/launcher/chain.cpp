// SPDX-License-Identifier: Apache-2.0
//
// chain COUNT SECONDS: starts COUNT chains of processes and waits for a signal. Each link closes every descriptor,
// opens a session of its own, forks the next one and exits at once: nobody has a pid for long. The chains end by
// themselves after SECONDS, or where the limit of processes stops them.
#include <csignal>
#include <cstdlib>
#include <ctime>

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace {

[[noreturn]] void link_until(time_t end)
{
    for (;;) {
        ::syscall(SYS_close_range, 0, ~0U, 0);
        ::setsid();
        pid_t next = -1;
        do { // the limit may be reached for a moment
            timespec now{};
            ::clock_gettime(CLOCK_MONOTONIC, &now);
            if (now.tv_sec >= end)
                ::_exit(0);
            next = ::fork();
        } while (next < 0);
        if (next > 0)
            ::_exit(0);
    }
}

} // namespace

int main(int argc, char** argv)
{
    if (argc != 3)
        return 1;
    ::signal(SIGCHLD, SIG_IGN); // the links do not stay as zombies
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    for (long i = std::strtol(argv[1], nullptr, 10); i > 0; --i)
        if (::fork() == 0)
            link_until(now.tv_sec + std::strtol(argv[2], nullptr, 10));
    ::pause();
    return 0;
}
