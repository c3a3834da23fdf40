// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"
#include "launcher/protocol.hpp"
#include "launcher/service_manager.hpp"
#include "launcher/watchdog.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <string>

namespace belay::launcher {

/// WATCHDOG_USEC in milliseconds, as sd_watchdog_enabled(3) takes it: 0 if it is none, or if WATCHDOG_PID is another
/// process. Each may be null.
std::uint32_t systemd_watchdog_ms(const char* usec, const char* pid, pid_t self) noexcept;

/// Feeds the hardware's watchdog and systemd's whenever the manager sends a heartbeat that vouches for the modules, and
/// by nothing else; notices when none comes. Allocates nothing after construction.
class Feeding
{
public:
    /// Nothing is fed, and no heartbeat is expected.
    Feeding() = default;

    /// Opens the plan's device, if any. One that cannot be used is an error, but for these two, which are complained
    /// of: the plan does not insist on it; or somebody else has it, and systemd (`systemd_ms`) watches this service.
    static tl::expected<Feeding, std::string> begin(const WatchdogPlan& plan, std::uint32_t systemd_ms);

    [[nodiscard]] const WatchdogState& state() const noexcept { return state_; }
    [[nodiscard]] bool expects_heartbeats() const noexcept { return state_.interval_ms != 0; }

    /// From now on they are due.
    void expect_first(std::uint64_t now_ns) noexcept;
    void expect_no_more() noexcept { due_ns_ = 0; }
    void heartbeat(bool healthy, std::uint64_t now_ns, const ServiceManager& service_manager) noexcept;

    /// CLOCK_MONOTONIC; when the next one is due at the latest. 0: none is.
    [[nodiscard]] std::uint64_t due_ns() const noexcept { return due_ns_; }

    /// It did not come. False, once, if this process itself did not run when it should have looked (a frozen service, a
    /// suspended machine): then the manager did not either.
    bool missed(std::uint64_t now_ns) noexcept;

    /// An end in order: the hardware's watchdog stops, if it can.
    void stop() noexcept { hardware_.stop(); }
    void leave_running() noexcept { hardware_.leave_running(); }

private:
    Feeding(Watchdog hardware, const WatchdogState& state) : hardware_(std::move(hardware)), state_(state) {}

    Watchdog hardware_;
    WatchdogState state_;
    std::uint64_t due_ns_ = 0;
    bool excused_ = false;
};

} // namespace belay::launcher
