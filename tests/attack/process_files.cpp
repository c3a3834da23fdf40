// SPDX-License-Identifier: Apache-2.0
//
// Other processes, by /proc.

#include "tests/attack/attempt.hpp"

#include <array>

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace attack {

namespace {

Outcome open_each(const std::vector<pid_t>& pids, const char* name, int flags)
{
    return for_each(pids, [=](pid_t pid) { return try_open(proc(pid, name), flags); });
}

/// Some of these files open for all and fail when they are read.
Outcome read_each(const std::vector<pid_t>& pids, const char* name)
{
    return for_each(pids, [=](pid_t pid) { return slurp(proc(pid, name)).empty() ? -1 : 0; });
}

Outcome follow_each(const std::vector<pid_t>& pids, const char* name)
{
    return for_each(pids, [=](pid_t pid) {
        std::array<char, 256> target{};
        return ::readlink(proc(pid, name).c_str(), target.data(), target.size());
    });
}

Outcome memory(const Context& context)
{
    return open_each(context.everybody(), "mem", O_RDWR);
}

Outcome environment(const Context& context)
{
    return read_each(context.everybody(), "environ");
}

Outcome mappings(const Context& context)
{
    return read_each(context.everybody(), "maps");
}

Outcome auxiliary_vector(const Context& context)
{
    return read_each(context.everybody(), "auxv");
}

Outcome system_call(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) { return slurp(proc(pid, "syscall")).empty() ? -1 : 0; });
}

Outcome root(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) { return try_open(proc(pid, "root/etc"), O_RDONLY); });
}

Outcome links(const Context& context)
{
    for (const auto* name : {"cwd", "exe", "root", "ns/mnt"})
        if (auto outcome = follow_each(context.everybody(), name); outcome.verdict != Verdict::refused)
            return outcome;
    return refused(EACCES);
}

Outcome list_descriptors(const std::vector<pid_t>& pids)
{
    return for_each(pids, [](pid_t pid) {
        DIR* directory = ::opendir(proc(pid, "fd").c_str());
        if (directory == nullptr)
            return -1;
        ::closedir(directory);
        return 0;
    });
}

Outcome descriptors_of_neighbours(const Context& context)
{
    return list_descriptors(context.neighbours);
}

Outcome descriptors_of_others(const Context& context)
{
    return list_descriptors({context.manager, context.launcher});
}

/// The socket between launcher and manager among them: its opcodes would be ours.
Outcome open_descriptors(const Context& context)
{
    constexpr int most = 32;
    for (const pid_t pid : context.everybody())
        for (int number = 0; number < most; ++number) {
            const auto path = proc(pid, "fd/") + std::to_string(number);
            if (try_open(path, O_RDWR) >= 0)
                return escaped(path);
            if (errno != EACCES && errno != EPERM && errno != ENOENT)
                return unjudged(path);
        }
    return refused(EACCES);
}

Outcome descriptor_information(const Context& context)
{
    return read_each(context.everybody(), "fdinfo/0");
}

Outcome out_of_memory_of_neighbours(const Context& context)
{
    return open_each(context.neighbours, "oom_score_adj", O_WRONLY);
}

Outcome out_of_memory_of_others(const Context& context)
{
    return open_each({context.manager, context.launcher}, "oom_score_adj", O_WRONLY);
}

Outcome open_settings(const std::vector<pid_t>& pids)
{
    for (const auto* name : {"coredump_filter", "autogroup", "clear_refs"})
        if (auto outcome =
                for_each(pids, [=](pid_t pid) { return try_open(proc(pid, name), O_WRONLY); }, {EPERM, EACCES, ENOENT});
            outcome.verdict != Verdict::refused)
            return outcome;
    return refused(EACCES);
}

Outcome settings_of_neighbours(const Context& context)
{
    return open_settings(context.neighbours);
}

Outcome settings_of_others(const Context& context)
{
    return open_settings({context.manager, context.launcher});
}

/// It opens for everybody, and asks who it is when it is written.
Outcome timer_slack(const Context& context)
{
    return for_each(context.everybody(), [](pid_t pid) -> long {
        const int file = ::open(proc(pid, "timerslack_ns").c_str(), O_WRONLY | O_CLOEXEC);
        return file < 0 ? -1 : ::write(file, "50000", 5);
    });
}

constexpr std::array table{
    Attempt{"/proc", "mem", "read or write another's memory", memory},
    Attempt{"/proc", "environ", "read another's secrets", environment},
    Attempt{"/proc", "maps", "learn another's addresses", mappings},
    Attempt{"/proc", "auxv", "learn another's addresses", auxiliary_vector},
    Attempt{"/proc", "syscall", "learn another's addresses", system_call},
    Attempt{"/proc", "root", "see with another's eyes", root},
    Attempt{"/proc", "cwd, exe, root, ns: links", "learn of another", links},
    Attempt{"/proc", "fd: list, neighbours", "learn of another", descriptors_of_neighbours},
    Attempt{"/proc", "fd: list, manager and launcher", "learn of another", descriptors_of_others},
    Attempt{"/proc", "fd: open", "use another's descriptors", open_descriptors},
    Attempt{"/proc", "fdinfo", "learn of another", descriptor_information},
    Attempt{"/proc", "oom_score_adj, neighbours", "have another killed first", out_of_memory_of_neighbours},
    Attempt{"/proc", "oom_score_adj, the others", "have another killed first", out_of_memory_of_others},
    Attempt{"/proc", "coredump_filter, …, neighbours", "change another", settings_of_neighbours},
    Attempt{"/proc", "coredump_filter, …, the others", "change another", settings_of_others},
    Attempt{"/proc", "timerslack_ns", "slow another down", timer_slack},
};

} // namespace

std::span<const Attempt> process_files()
{
    return table;
}

} // namespace attack
