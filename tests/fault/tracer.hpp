// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

/// Makes chosen system calls of a process fail, by ptrace(2), as strace --inject does: the call is not made, and its
/// caller is told `error`.
namespace belay::fault {

struct SystemCall
{
    long number = -1;
    unsigned long first = 0;  ///< the first argument
    unsigned long second = 0; ///< the second argument
};

struct Injection
{
    std::size_t occurrence = 0; ///< the number of the call among all that the process makes, from 0
    int error = 0;
};

enum class Subject
{
    process,     ///< what runs `body`
    first_child, ///< the first process that it creates
};

struct Section
{
    Subject subject = Subject::first_child;
    std::size_t execs_before = 0; ///< begins after so many successful execs
    long last_call = -1;          ///< ends before this call, which is made; -1: with the next successful exec
};

struct Trace
{
    std::vector<SystemCall> calls; ///< those of the section, in order
    bool injected = false;
    bool complete = false; ///< the section was seen to its end
    std::string output;    ///< what `body` and everything it started wrote to the descriptor it was given
    int status = 0;        ///< wait(2)'s, of the process that ran `body`
};

/// Runs `body` in a process of its own and follows the section. Throws std::system_error if tracing itself fails.
Trace trace(const Section& section, std::optional<Injection> injection, const std::function<int(int output)>& body);

} // namespace belay::fault
