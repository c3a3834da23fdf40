// SPDX-License-Identifier: Apache-2.0
#include "manager/core_dump.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>

#include <sys/resource.h>
#include <sys/wait.h>

namespace belay::manager {

namespace {

/// signal(7): whose default action is a core.
constexpr std::array core_signals{SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGXCPU, SIGXFSZ, SIGSYS};

/// Without a limit of its own, a module has the manager's.
bool is_switched_off(const launcher::ProcessPlan& plan)
{
    for (const auto& limit : plan.limits)
        if (limit.resource == RLIMIT_CORE)
            return limit.soft <= launcher::no_core;
    rlimit own{};
    return ::getrlimit(RLIMIT_CORE, &own) == 0 && own.rlim_cur <= launcher::no_core;
}

std::string handler_of(std::string_view pattern)
{
    const auto program = pattern.substr(1, pattern.find(' ') - 1);
    return std::string{program};
}

/// The path, as far as the pattern tells it: of its abbreviations only `%p` is known here.
std::string file_of(std::string_view pattern, pid_t pid, const launcher::ProcessPlan& plan)
{
    std::string path = pattern.starts_with('/') ? std::string{} : plan.working_directory + '/';
    path += pattern;
    if (const auto place = path.find("%p"); place != std::string::npos)
        path.replace(place, 2, std::to_string(pid));
    return path.find('%') == std::string::npos ? path : path + ", see core(5)";
}

} // namespace

std::string core_pattern()
{
    std::ifstream file{"/proc/sys/kernel/core_pattern"};
    std::string line;
    std::getline(file, line);
    return line;
}

std::string explain_core(int status, pid_t pid, const launcher::ProcessPlan& plan, std::string_view pattern)
{
    if (!WIFSIGNALED(status))
        return {};
    if (!WCOREDUMP(status)) {
        const bool usual = std::find(core_signals.begin(), core_signals.end(), WTERMSIG(status)) != core_signals.end();
        return usual && is_switched_off(plan) ? ", no core: LimitCORE is 0" : "";
    }
    if (pattern.empty())
        return {};
    if (!pattern.starts_with('|'))
        return " (" + file_of(pattern, pid, plan) + ')';
    const auto handler = handler_of(pattern);
    if (handler.ends_with("/systemd-coredump"))
        return " (`coredumpctl info " + std::to_string(pid) + "`)";
    return " (given to " + handler + ')';
}

} // namespace belay::manager
