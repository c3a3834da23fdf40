// SPDX-License-Identifier: Apache-2.0
#include "manager/module_entries.hpp"

#include "manager/exit_text.hpp"

#include <sys/wait.h>

namespace belay::manager {

About about_end(JournalMessage message, const std::string& id, const End& end)
{
    auto result = about(message, id, end.pid);
    if (!end.status) {
        result.more = {{"EVEREST_STAGE", launcher::describe(end.failure.stage)},
                       {"ERRNO", std::to_string(end.failure.error)}};
    } else if (WIFEXITED(*end.status)) {
        result.more = {{"EVEREST_EXIT_CODE", std::to_string(WEXITSTATUS(*end.status))}};
    } else if (WIFSIGNALED(*end.status)) {
        result.more = {{"EVEREST_SIGNAL", signal_name(WTERMSIG(*end.status))},
                       {"EVEREST_CORE_DUMPED", WCOREDUMP(*end.status) ? "1" : ""}};
    }
    return result;
}

About about_crash(const std::string& id, const End& end)
{
    auto result = about_end(end.status ? JournalMessage::module_crashed : JournalMessage::module_refused, id, end);
    if (end.status) // what it prints is journald's matter alone, also when there is no manager
        result.hint = "; its last lines: `journalctl -b -t " + id + " _PID=" + std::to_string(end.pid) + " -n 20`";
    return result;
}

} // namespace belay::manager
