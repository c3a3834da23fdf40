// SPDX-License-Identifier: Apache-2.0
#include "manager/exit_text.hpp"

#include "config/system_calls.hpp"

#include <csignal>
#include <cstring>

#include <sys/wait.h>

namespace belay::manager {

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
