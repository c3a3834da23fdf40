// SPDX-License-Identifier: Apache-2.0
#include "tests/attack/attempt.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace attack {

using nlohmann::json;

namespace {

constexpr int deadline_ms = 10'000;

/// A control succeeds: what it mounts must vanish with it.
bool detach()
{
    return ::geteuid() != 0 ||
           (::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
}

[[noreturn]] void child(const Attempt& attempt, const Context& context, int pipe)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    Outcome outcome;
    try {
        outcome = context.control && !detach() ? unjudged("no mount namespace for a control") : attempt.run(context);
    } catch (const std::exception& error) {
        outcome = unjudged(error.what());
    }
    const auto text = json{static_cast<int>(outcome.verdict), outcome.error, outcome.note}.dump();
    const bool written = ::write(pipe, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::_exit(written ? 0 : 1);
}

/// Until the other end is closed, which daemons of the attempt must not delay.
std::string read_within(int pipe, int milliseconds)
{
    std::string text;
    std::array<char, 4096> buffer{};
    pollfd polled{pipe, POLLIN, 0};
    if (::poll(&polled, 1, milliseconds) == 1)
        if (const auto size = ::read(pipe, buffer.data(), buffer.size()); size > 0)
            text.assign(buffer.data(), static_cast<std::size_t>(size));
    return text;
}

} // namespace

std::vector<pid_t> Context::everybody() const
{
    auto result = neighbours;
    result.push_back(manager);
    result.push_back(launcher);
    return result;
}

Outcome judge(long result, Errors refusals)
{
    if (result >= 0)
        return escaped("");
    if (std::find(refusals.begin(), refusals.end(), errno) != refusals.end())
        return refused(errno);
    const int error = errno;
    return {Verdict::unjudged, error, "an error that is no refusal"};
}

Outcome escaped(std::string note)
{
    return {Verdict::escaped, 0, std::move(note)};
}

Outcome refused(int error, std::string note)
{
    return {Verdict::refused, error, std::move(note)};
}

Outcome unjudged(std::string note)
{
    return {Verdict::unjudged, errno, std::move(note)};
}

std::string proc(pid_t pid, const char* name)
{
    return "/proc/" + std::to_string(pid) + '/' + name;
}

std::string slurp(const std::string& path)
{
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    std::string text(65536, '\0');
    const auto size = file < 0 ? -1 : ::read(file, text.data(), text.size());
    const int error = errno;
    ::close(file);
    errno = error;
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return text;
}

int try_open(const std::string& path, int flags)
{
    const int file = ::open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (file >= 0)
        ::close(file);
    return file;
}

std::string output_of(const std::vector<std::string>& command, int& code)
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        throw std::runtime_error{"pipe"};
    const pid_t pid = ::fork();
    if (pid == 0) {
        std::vector<char*> arguments;
        for (const auto& one : command)
            arguments.push_back(const_cast<char*>(one.c_str()));
        arguments.push_back(nullptr);
        ::dup2(ends[1], STDOUT_FILENO);
        ::execv(arguments[0], arguments.data());
        ::_exit(errno);
    }
    ::close(ends[1]);
    std::string text;
    std::array<char, 4096> buffer{};
    for (ssize_t size = 0; (size = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
        text.append(buffer.data(), static_cast<std::size_t>(size));
    ::close(ends[0]);
    int how = 0;
    ::waitpid(pid, &how, 0);
    code = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
    return text;
}

Outcome run(const Attempt& attempt, const Context& context)
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return unjudged("no pipe");
    const pid_t pid = ::fork();
    if (pid == 0)
        child(attempt, context, ends[1]);
    ::close(ends[1]);
    if (pid < 0) {
        ::close(ends[0]);
        return unjudged("no process");
    }
    const auto text = read_within(ends[0], deadline_ms);
    ::close(ends[0]);
    if (text.empty())
        ::kill(pid, SIGKILL);
    int how = 0;
    ::waitpid(pid, &how, 0);
    if (WIFSIGNALED(how) && WTERMSIG(how) == SIGSYS)
        return refused(0, "killed by SIGSYS");
    const auto parsed = json::parse(text, nullptr, false);
    errno = 0;
    if (!parsed.is_array())
        return unjudged(WIFSIGNALED(how) ? "killed by " + std::string{::strsignal(WTERMSIG(how))} : "no answer");
    return {static_cast<Verdict>(parsed[0].get<int>()), parsed[1].get<int>(), parsed[2].get<std::string>()};
}

json describe(const Attempt& attempt, const Outcome& outcome)
{
    constexpr std::array names{"refused", "escaped", "outside", "unjudged"};
    const auto* name = outcome.error == 0 ? "" : ::strerrorname_np(outcome.error);
    return {{"group", attempt.group},
            {"attempt", attempt.name},
            {"must_not", attempt.must_not},
            {"outcome", names.at(static_cast<std::size_t>(outcome.verdict))},
            {"errno", name == nullptr ? std::to_string(outcome.error) : name},
            {"escaped", outcome.verdict == Verdict::escaped},
            {"note", outcome.note}};
}

} // namespace attack
