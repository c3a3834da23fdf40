// SPDX-License-Identifier: Apache-2.0
#include "launcher/reload.hpp"

#include "launcher/complaint.hpp"
#include "launcher/errno_text.hpp"

#include <cerrno>
#include <csignal>
#include <utility>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr unsigned longest_judgement_s = 30;

char* writable(const std::string& text)
{
    return const_cast<char*>(text.c_str()); // execve(2) does not write
}

std::vector<char*> pointers(const std::vector<std::string>& texts)
{
    std::vector<char*> result;
    for (const auto& text : texts)
        result.push_back(writable(text));
    return result;
}

/// The child: nothing but system calls. It is gone in time, whatever it waits for: the alarm survives execve(2).
[[noreturn]] void become_judge(const char* program, char* const* arguments, char* const* environment, pid_t parent)
{
    sigset_t none;
    ::sigemptyset(&none);
    if (::sigprocmask(SIG_SETMASK, &none, nullptr) == 0 && ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 &&
        ::getppid() == parent) {
        ::alarm(longest_judgement_s);
        ::execve(program, arguments, environment);
        complain("could not execute %s: %s", program, errno_text(errno));
    }
    ::_exit(1);
}

} // namespace

Reload::Reload(const Invocation& invocation)
    : invocation_(invocation),
      environment_(pointers(invocation.environment)),
      judge_arguments_(arguments_with({"--reloaded", "--judge"})),
      arguments_(arguments_with({"--reloaded"}))
{
    environment_.push_back(nullptr);
}

std::vector<char*> Reload::arguments_with(const std::vector<const char*>& more) const
{
    auto result = pointers(invocation_.arguments);
    for (const auto* argument : more)
        result.push_back(const_cast<char*>(argument));
    result.push_back(nullptr);
    return result;
}

Reload::Verdict Reload::judge() noexcept
{
    if (judge_ != 0) {
        again_ = true;
        return Verdict::pending;
    }
    const pid_t self = ::getpid();
    const pid_t child = ::fork();
    if (child == 0)
        become_judge(invocation_.program.c_str(), judge_arguments_.data(), environment_.data(), self);
    if (child > 0) {
        judge_ = child;
        return Verdict::pending;
    }
    complain("could not have the configuration judged: %s; nothing was changed", errno_text(errno));
    return Verdict::refused;
}

Reload::Verdict Reload::judged(int status) noexcept
{
    judge_ = 0;
    if (std::exchange(again_, false))
        return judge();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return Verdict::good;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        report(JournalMessage::configuration_error, LOG_ERR,
               "the configuration could not be judged within %u s; nothing was changed", longest_judgement_s);
    else
        report(JournalMessage::configuration_error, LOG_ERR,
               "the configuration was refused as explained above; the modules run on with the one they have");
    return Verdict::refused;
}

int Reload::execute() noexcept
{
    // Opened by prepare_complaints(), for this program's own purposes.
    if (const int flags = ::fcntl(STDERR_FILENO, F_GETFL); flags >= 0 && ::isatty(STDERR_FILENO) == 1)
        ::fcntl(STDERR_FILENO, F_SETFL, flags & ~O_NONBLOCK);
    // Signals stay blocked: one that comes now is for who follows.
    ::execve(invocation_.program.c_str(), arguments_.data(), environment_.data());
    return errno;
}

} // namespace belay::launcher
