// SPDX-License-Identifier: Apache-2.0
#include "manager/exit_text.hpp"

#include "config/system_calls.hpp"

#include <array>
#include <charconv>
#include <csignal>
#include <cstring>

#include <sys/wait.h>

namespace belay::manager {

namespace {

/// "memory.max 256M", as belay.yaml has it.
std::string memory_limit(const launcher::ProcessPlan& plan)
{
    constexpr std::array units{"", "K", "M", "G", "T"};
    constexpr std::uint64_t step = 1024;
    for (const auto& setting : plan.cgroup) {
        std::uint64_t bytes = 0;
        if (setting.file != "memory.max" ||
            std::from_chars(setting.value.data(), setting.value.data() + setting.value.size(), bytes).ec != std::errc{})
            continue;
        std::size_t unit = 0;
        for (; bytes >= step && bytes % step == 0 && unit + 1 < units.size(); ++unit)
            bytes /= step;
        return "memory.max " + std::to_string(bytes) + units[unit];
    }
    return "of the whole machine or service";
}

} // namespace

std::string signal_name(int signal)
{
    const char* name = sigabbrev_np(signal);
    return name != nullptr ? std::string{"SIG"} + name : "signal " + std::to_string(signal);
}

std::string describe_exit(int status, std::int32_t system_call)
{
    if (system_call >= 0) {
        const auto name = config::system_call_name(system_call);
        return "killed for calling " + (name.empty() ? "a system call without a name" : name) + " (" +
               std::to_string(system_call) + ')';
    }
    if (WIFEXITED(status))
        return "exit code " + std::to_string(WEXITSTATUS(status));
    if (!WIFSIGNALED(status))
        return "wait status " + std::to_string(status);
    const int signal = WTERMSIG(status);
    return "killed by " + signal_name(signal) + " (" + std::to_string(signal) + ")" +
           (WCOREDUMP(status) ? ", core dumped" : "");
}

std::string describe_exit(const launcher::Exited& exited, const launcher::ProcessPlan& plan)
{
    auto how = describe_exit(exited.status, exited.system_call);
    if (exited.out_of_memory == 0)
        return how;
    const auto why = "out of memory (" + memory_limit(plan) + ')';
    if (WIFSIGNALED(exited.status) && WTERMSIG(exited.status) == SIGKILL)
        return "killed by the kernel: " + why;
    return how + ", after the kernel killed a process of it: " + why;
}

std::string explain_system_call(std::int32_t system_call, const std::string& module)
{
    const auto name = config::system_call_name(system_call);
    auto result = describe_exit(SIGKILL, system_call) + ", which its system call filter does not allow";
    if (name.empty()) // belay.yaml has no word for it
        return result;
    const auto groups = config::groups_of_system_call(name);
    // The rest of these two is not what somebody means who needs one call of them.
    const bool narrow = !groups.empty() && groups.front() != "@privileged" && groups.front() != "@system-service";
    const auto group = narrow ? " or \"" + groups.front() + '"' : std::string{};
    return result + "; if it must, add \"" + name + '"' + group + " to sandbox: system_calls of \"" + module +
           "\" in belay.yaml";
}

} // namespace belay::manager
