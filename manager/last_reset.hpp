// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/plan.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Why the machine was reset, as far as the charger's own record (launcher/step_record.hpp) and the watchdog tell.
namespace belay::manager {

struct Steps
{
    std::string boot; ///< which boot of the machine, as in /proc/sys/kernel/random/boot_id
    std::vector<std::string> lines;
};

/// Reads a record; what is not in its form is left out, and what is not to be printed is a '?'.
[[nodiscard]] Steps parse_steps(std::string_view text);

/// For people: how a boot with these steps ended; nothing if the charger was stopped before, and the watchdog did not
/// reset the machine. `boot_status`: WDIOF_* of
/// linux/watchdog.h, by the watchdog after the next boot.
[[nodiscard]] std::optional<std::string> explain_end(const Steps& steps, std::optional<unsigned> boot_status);

/// $STATE_DIRECTORY, else PREFIX/var/lib/everest, for a prefix of /usr /var/lib/everest.
[[nodiscard]] std::filesystem::path state_directory(const std::filesystem::path& prefix,
                                                    const std::map<std::string, std::string>& environment);

struct TakenUp
{
    std::string news;    ///< if the machine was booted since, and not after a stop in order: the explanation
    std::string trouble; ///< why the record cannot be used, and is left out; empty: it can
};

/// What a start must know of the record, in the plan: where it is and what is in it. The explanation is kept in the
/// file `last-reset` beside it.
[[nodiscard]] TakenUp take_up_record(const config::Configuration& configuration,
                                     const std::map<std::string, std::string>& environment, launcher::LaunchPlan& plan);

/// `--last-reset`: prints the last explanation. The exit code.
int print_last_reset(const config::LoadOptions& options);

} // namespace belay::manager
