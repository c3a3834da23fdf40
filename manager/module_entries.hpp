// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/stages.hpp"
#include "manager/log.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <sys/types.h>

namespace belay::manager {

/// How the process of a module ended.
struct End
{
    std::uint32_t module = 0;
    pid_t pid = 0;             ///< 0: it never ran
    std::optional<int> status; ///< wait(2)'s; nothing: it never ran
    bool late = false;         ///< it was ended because it was not ready in time
    bool hung = false;         ///< it was ended because it hung
    std::string how;           ///< for people
    std::chrono::nanoseconds ran{};
    launcher::StageFailure failure; ///< why it never ran
};

/// What the journal gets beside a line on the end of the module `id`: EVEREST_EXIT_CODE, or EVEREST_SIGNAL and
/// EVEREST_CORE_DUMPED, or EVEREST_STAGE and ERRNO.
[[nodiscard]] About about_end(JournalMessage message, const std::string& id, const End& end);

/// The same for a module that ended by itself: `module_crashed`, or `module_refused` if it never ran; with the command
/// that shows its last lines.
[[nodiscard]] About about_crash(const std::string& id, const End& end);

} // namespace belay::manager
