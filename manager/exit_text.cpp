// SPDX-License-Identifier: Apache-2.0
#include "manager/exit_text.hpp"

#include <cstring>

#include <sys/wait.h>

namespace belay::manager {

std::string signal_name(int signal)
{
    const char* name = sigabbrev_np(signal);
    return name != nullptr ? std::string{"SIG"} + name : "signal " + std::to_string(signal);
}

std::string describe_exit(int status)
{
    if (WIFEXITED(status))
        return "exit code " + std::to_string(WEXITSTATUS(status));
    if (!WIFSIGNALED(status))
        return "wait status " + std::to_string(status);
    const int signal = WTERMSIG(status);
    return "killed by " + signal_name(signal) + " (" + std::to_string(signal) + ")" +
           (WCOREDUMP(status) ? ", core dumped" : "");
}

} // namespace belay::manager
