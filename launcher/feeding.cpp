// SPDX-License-Identifier: Apache-2.0
#include "launcher/feeding.hpp"

#include "launcher/clock.hpp"
#include "launcher/complaint.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <limits>

namespace belay::launcher {

namespace {

/// Of the shortest timeout: without a heartbeat for half of it the modules are stopped, which leaves them the other
/// half, and two heartbeats must get lost for that.
constexpr std::uint32_t deadline_part = 2;
constexpr std::uint32_t interval_part = 4;
constexpr std::uint32_t longest_interval_part = 3; // of the timeout, if belay.yaml says the interval
constexpr std::uint32_t ms_per_s = 1000;

/// Nothing if it is not all of `text`.
std::uint64_t number(const char* text) noexcept
{
    std::uint64_t value = 0;
    const auto* end = text + std::strlen(text);
    return std::from_chars(text, end, value).ptr == end ? value : 0;
}

void set_times(const WatchdogPlan& plan, WatchdogState& state)
{
    auto shortest = std::numeric_limits<std::uint32_t>::max();
    for (const auto timeout : {state.timeout_ms, state.systemd_ms})
        if (timeout != 0)
            shortest = std::min(shortest, timeout);
    if (plan.wanted && state.timeout_ms == 0)
        shortest = std::min(shortest, plan.timeout_s * ms_per_s);
    if (shortest == std::numeric_limits<std::uint32_t>::max())
        return;
    const auto interval = plan.heartbeat_ms == 0 ? shortest / interval_part
                                                 : std::min(plan.heartbeat_ms, shortest / longest_interval_part);
    state.interval_ms = std::max(interval, 1U);
    state.deadline_ms = std::max(shortest / deadline_part, 2U);
}

} // namespace

std::uint32_t systemd_watchdog_ms(const char* usec, const char* pid, pid_t self) noexcept
{
    constexpr std::uint64_t us_per_ms = 1000;
    constexpr std::uint64_t longest_ms = 86'400'000;
    if (usec == nullptr || (pid != nullptr && number(pid) != static_cast<std::uint64_t>(self)))
        return 0;
    return static_cast<std::uint32_t>(std::min(number(usec) / us_per_ms, longest_ms));
}

tl::expected<Feeding, std::string> Feeding::begin(const WatchdogPlan& plan, std::uint32_t systemd_ms)
{
    WatchdogState state;
    Watchdog hardware;
    if (!plan.device.empty()) {
        auto opened = Watchdog::open(plan);
        const bool spared = !opened && (!plan.require || (opened.error().error == EBUSY && systemd_ms != 0));
        if (!opened && !spared)
            return tl::unexpected(opened.error().sentence);
        if (opened) {
            state = opened->state();
            hardware = std::move(*opened);
        } else {
            state.error = opened.error().error;
            report(JournalMessage::watchdog_trouble, LOG_WARNING, "%s", opened.error().sentence.c_str());
        }
    }
    state.systemd_ms = systemd_ms;
    set_times(plan, state);
    return Feeding{std::move(hardware), state};
}

void Feeding::expect_first(std::uint64_t now_ns) noexcept
{
    due_ns_ = expects_heartbeats() ? now_ns + state_.deadline_ms * ns_per_ms : 0;
}

void Feeding::heartbeat(bool healthy, std::uint64_t now_ns, const ServiceManager& service_manager) noexcept
{
    if (!healthy || due_ns_ == 0)
        return;
    expect_first(now_ns);
    excused_ = false;
    hardware_.feed();
    if (state_.systemd_ms != 0)
        service_manager.pet_watchdog();
}

bool Feeding::missed(std::uint64_t now_ns) noexcept
{
    if (due_ns_ == 0 || now_ns < due_ns_)
        return false;
    constexpr std::uint64_t tolerance_ns = ns_per_s;
    if (excused_ || now_ns - due_ns_ < tolerance_ns)
        return true;
    excused_ = true;
    expect_first(now_ns);
    return false;
}

} // namespace belay::launcher
