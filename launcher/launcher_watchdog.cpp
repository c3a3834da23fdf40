// SPDX-License-Identifier: Apache-2.0
//
// What becomes of the watchdogs when heartbeats fail to come, and when the launcher ends.
#include "launcher/complaint.hpp"
#include "launcher/launcher.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>

namespace belay::launcher {

/// A line of the record; printf(3).
void Launcher::note(const char* format, ...) noexcept
{
    std::array<char, 256> text{};
    va_list arguments;
    va_start(arguments, format);
    const int wanted = std::vsnprintf(text.data(), text.size(), format, arguments);
    va_end(arguments);
    equipment_.record.add({text.data(), std::min(static_cast<std::size_t>(std::max(wanted, 0)), text.size() - 1)});
}

void Launcher::miss_heartbeat()
{
    std::array<char, 96> why{};
    std::snprintf(why.data(), why.size(), "did not vouch for the modules for %.1f s",
                  equipment_.feeding.state().deadline_ms / 1e3);
    lose_manager(why.data());
}

/// Who was told to stop, or to reload and has stopped in order, takes the watchdog with it; the manager's word alone is
/// not enough. Otherwise it runs on, and somebody else must start this service again before it has run out; and where
/// even SIGKILL has no effect, that would help nobody: this process stays, feeds nothing, and waits for the reset.
void Launcher::end_feeding(bool nobody_left)
{
    auto& feeding = equipment_.feeding;
    if (!feeding.expects_heartbeats())
        return;
    if (told_to_stop_ || reloads_) { // nobody is left who keeps it from a reload
        feeding.stop();
        return note(reloads_ ? "reload in order" : "stopped in order");
    }
    feeding.leave_running();
    const auto timeout = feeding.state().timeout_ms;
    if (timeout == 0)
        return note("exit code %d; the service manager decides what follows", exit_code_);
    if (nobody_left) {
        report(JournalMessage::watchdog_trouble, LOG_WARNING,
               "the watchdog runs on: the machine is reset within %u s unless this service is started again",
               timeout / 1000);
        return note("exit code %d; a reset follows within %u s unless the service is started again", exit_code_,
                    timeout / 1000);
    }
    report(JournalMessage::watchdog_trouble, LOG_WARNING,
           "what survives SIGKILL only a reset ends: it follows within %u s", timeout / 1000);
    note("stop-feeding some processes survive SIGKILL");
    constexpr std::uint32_t margin_ms = 5000;
    ::poll(nullptr, 0, static_cast<int>(timeout + margin_ms));
}

} // namespace belay::launcher
