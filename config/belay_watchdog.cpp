// SPDX-License-Identifier: Apache-2.0
//
// belay.yaml: when a module hangs, and what happens to the machine if the charger does.
#include "config/belay_keys.hpp"

namespace belay::config {

namespace {

using launcher::WatchdogPlan;

constexpr std::chrono::milliseconds shortest_liveness{100};
constexpr int longest_timeout = 86400;

constexpr std::array liveness_keys{
    Key<Liveness>{"stuck_after",
                  [](auto& reading, auto& member, auto& to) {
                      to.stuck_after = seconds(reading, member, shortest_liveness).value_or(to.stuck_after);
                  }},
    Key<Liveness>{"watchdog", // systemd's WatchdogSec=
                  [](auto& reading, auto& member, auto& to) {
                      if (const auto timeout = seconds(reading, member, shortest_liveness))
                          to.watchdog = *timeout;
                  }}};

void read_device(Reading& reading, const Member& member, WatchdogPlan& watchdog)
{
    const auto& path = member.value.text;
    if (!member.value.is(Node::Kind::string) || !path.starts_with("/dev/") ||
        (path + '/').find("/../") != std::string::npos)
        report_error(reading.diagnostics, member.value, "`device` must be a path below /dev", "write /dev/watchdog0");
    else
        watchdog.device = path;
}

/// The kernel counts whole seconds.
void read_whole_seconds(Reading& reading, const Member& member, std::uint32_t& value, int longest)
{
    if (const auto given = whole_number(reading, member, 1, longest))
        value = static_cast<std::uint32_t>(*given);
}

/// It becomes a file's content.
void read_governor(Reading& reading, const Member& member, WatchdogPlan& watchdog)
{
    if (!member.value.is(Node::Kind::string) || member.value.text.empty())
        report_error(reading.diagnostics, member.value, "`pretimeout_governor` must be the name of one",
                     "write panic or noop");
    else
        watchdog.pretimeout_governor = member.value.text;
}

using WatchdogKey = Key<WatchdogPlan>;

constexpr std::array watchdog_keys{
    WatchdogKey{"device", read_device},
    WatchdogKey{"timeout", [](auto& reading, auto& member,
                              auto& to) { read_whole_seconds(reading, member, to.timeout_s, longest_timeout); }},
    WatchdogKey{"pretimeout",
                [](auto& reading, auto& member, auto& to) {
                    read_whole_seconds(reading, member, to.pretimeout_s, longest_timeout - 1);
                }},
    WatchdogKey{"pretimeout_governor", read_governor},
    WatchdogKey{"heartbeat",
                [](auto& reading, auto& member, auto& to) {
                    if (const auto interval = seconds(reading, member, shortest_liveness))
                        to.heartbeat_ms = static_cast<std::uint32_t>(interval->count());
                }},
    WatchdogKey{"require", [](auto& reading, auto& member, auto& to) { read_boolean(reading, member, to.require); }},
};

void check_watchdog(Reading& reading, const Place& place, const WatchdogPlan& watchdog)
{
    const auto timeout = "`timeout` (" + std::to_string(watchdog.timeout_s) + ')';
    constexpr std::uint32_t thirds_ms = 3;
    constexpr std::uint32_t ms_per_s = 1000;
    if (watchdog.pretimeout_s >= watchdog.timeout_s)
        report_error(reading.diagnostics, place, "`pretimeout` is not shorter than " + timeout,
                     "it is so many seconds before the reset");
    if (watchdog.heartbeat_ms * thirds_ms > watchdog.timeout_s * ms_per_s)
        report_error(reading.diagnostics, place, "`heartbeat` is longer than a third of " + timeout,
                     "leave it out for a quarter");
    if (watchdog.device.empty() && (watchdog.pretimeout_s != 0 || !watchdog.pretimeout_governor.empty()))
        report_error(reading.diagnostics, place, "`pretimeout` takes a device", "write device: /dev/watchdog0");
}

} // namespace

std::vector<std::string> liveness_names()
{
    return names_of(liveness_keys);
}

std::vector<std::string> watchdog_names()
{
    return names_of(watchdog_keys);
}

void read_liveness(Reading& reading, const Member& member, Liveness& liveness)
{
    read_mapping(reading, member, liveness, liveness_keys, example_of(member, "stuck_after", "30"));
}

void read_watchdog(Reading& reading, const Member& member, WatchdogPlan& watchdog)
{
    watchdog.wanted = true;
    read_mapping(reading, member, watchdog, watchdog_keys, "watchdog: {device: /dev/watchdog0}");
    check_watchdog(reading, member.key_place, watchdog);
}

} // namespace belay::config
