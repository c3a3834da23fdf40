// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>

/// The ways out that the hostile module tries: one table a group, each attempt in a process of its own.
namespace attack {

/// What the attempts are told: the driver's attack.json, and who is who among the processes.
struct Context
{
    nlohmann::json told;
    bool control = false; ///< nothing protects: the attempts are to succeed
    std::string module;   ///< our id
    std::string broker;   ///< its Unix socket; empty in a control
    pid_t self = 0;       ///< the process whose attempts these are
    pid_t launcher = 0;
    pid_t manager = 0;
    std::vector<pid_t> neighbours;
    std::vector<std::string> leaked; ///< what we held when we began, and should not

    [[nodiscard]] std::string text(const char* name) const { return told.at(name).get<std::string>(); }
    [[nodiscard]] long number(const char* name) const { return told.at(name).get<long>(); }
    [[nodiscard]] std::vector<pid_t> everybody() const;
};

enum class Verdict
{
    refused,
    escaped,
    outside,  ///< the driver must judge what came of it
    unjudged, ///< the attempt itself went wrong: nothing is known
};

struct Outcome
{
    Verdict verdict = Verdict::unjudged;
    int error = 0; ///< errno
    std::string note;
};

struct Attempt
{
    const char* group;
    const char* name;
    const char* must_not; ///< what it must not achieve
    Outcome (*run)(const Context&);
};

using Errors = std::initializer_list<int>;

/// A system call's result: it escaped if it succeeded; any other error than `refusals` says that the attempt is wrong.
Outcome judge(long result, Errors refusals = {EPERM, EACCES});
Outcome escaped(std::string note);
Outcome refused(int error, std::string note = {});
Outcome unjudged(std::string note);

/// `action` for each pid: the first success is an escape, the first unexpected error leaves it unjudged.
template <typename Action>
Outcome for_each(const std::vector<pid_t>& pids, Action action, Errors refusals = {EPERM, EACCES})
{
    auto last = unjudged("nobody to try it on");
    for (const pid_t pid : pids) {
        errno = 0;
        last = judge(action(pid), refusals);
        last.note += last.verdict == Verdict::refused ? "" : " (pid " + std::to_string(pid) + ')';
        if (last.verdict != Verdict::refused)
            break;
    }
    return last;
}

/// The same for paths.
template <typename Action>
Outcome for_each(const std::vector<std::string>& paths, Action action, Errors refusals = {EPERM, EACCES})
{
    auto last = unjudged("no path to try it on");
    for (const auto& path : paths) {
        errno = 0;
        last = judge(action(path), refusals);
        last.note += last.verdict == Verdict::refused ? "" : " (" + path + ')';
        if (last.verdict != Verdict::refused)
            break;
    }
    return last;
}

std::string proc(pid_t pid, const char* name);
/// The first bytes of a file; empty with errno if it cannot be read.
std::string slurp(const std::string& path);
/// Opens and closes; -1 with errno.
int try_open(const std::string& path, int flags);
/// What a child writes to its standard output; its exit code is in `code`, an errno if it could not be executed.
std::string output_of(const std::vector<std::string>& command, int& code);

/// In a child with a deadline. `escaped` only if that child said so.
Outcome run(const Attempt& attempt, const Context& context);
nlohmann::json describe(const Attempt& attempt, const Outcome& outcome);

std::span<const Attempt> identities();
std::span<const Attempt> executions();
std::span<const Attempt> kernel();
std::span<const Attempt> processes();
std::span<const Attempt> process_files();
std::span<const Attempt> inheritance();
std::span<const Attempt> files();
std::span<const Attempt> network();
std::span<const Attempt> resources();
std::span<const Attempt> bus();
std::span<const Attempt> survivors();

} // namespace attack
