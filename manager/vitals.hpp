// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

/// Whether a process gets anywhere, as far as /proc tells (proc_pid_stat(5), proc_pid_status(5)).
namespace belay::manager {

/// The state in /proc/…/stat; '\0' if that is none. The name before it is the program's own choice.
[[nodiscard]] char state_of(std::string_view stat);

/// How often it was switched to and from, voluntarily or not, by /proc/…/status.
[[nodiscard]] std::optional<std::uint64_t> switches_of(std::string_view status);

/// A thread that does not run of its own will.
struct HeldThread
{
    pid_t thread = 0;
    char state = '\0'; ///< T: stopped; t: by a tracer; D: waits in the kernel, without a way to interrupt it
    std::uint64_t switches = 0;
};

/// The threads of `process` that are held now; none if it is gone. Nothing if /proc does not show them.
[[nodiscard]] std::optional<std::vector<HeldThread>> held_threads(pid_t process);

/// One process over time.
class Pulse
{
public:
    using Duration = std::chrono::nanoseconds;

    /// Looked at again. A clause that says why it hangs, if one of its threads was held at each look for `longest`
    /// without having run in between.
    [[nodiscard]] std::optional<std::string> look(const std::vector<HeldThread>& held, pid_t process, Duration now,
                                                  Duration longest);

private:
    struct Since
    {
        HeldThread thread;
        Duration since{};
    };
    std::map<pid_t, Since> held_;
};

} // namespace belay::manager
