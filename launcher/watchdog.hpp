// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "launcher/plan.hpp"
#include "launcher/protocol.hpp"

#include <tl/expected.hpp>

#include <string>

#include <sys/types.h>

namespace belay::launcher {

/// A hardware watchdog as in Documentation/watchdog/watchdog-api.rst: it resets the machine unless it is fed in time.
/// Without a device, nothing happens.
///
/// Whoever ends without saying otherwise leaves it running, so that the machine is reset if nobody comes to feed it
/// again; stop() is an end in order, and the destructor, unless leave_running() was called.
class Watchdog
{
public:
    struct Failure
    {
        int error = 0;
        std::string sentence;
    };

    Watchdog() = default;
    Watchdog(Watchdog&&) = default;
    Watchdog& operator=(Watchdog&& other) noexcept;
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;
    ~Watchdog() { stop(); }

    /// Opens the device, which begins to count, and has it count as the plan says. A device that cannot do that is
    /// stopped again.
    static tl::expected<Watchdog, Failure> open(const WatchdogPlan& plan);

    /// Whether there is such a device, without that it is opened.
    static tl::expected<dev_t, Failure> find(const WatchdogPlan& plan);

    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(device_); }
    /// What it can be told, for the manager.
    [[nodiscard]] const WatchdogState& state() const noexcept { return state_; }

    void feed() noexcept;
    void stop() noexcept; ///< magic close
    void leave_running() noexcept { stops_ = false; }

private:
    explicit Watchdog(FileDescriptor device) : device_(std::move(device)) {}

    tl::expected<void, Failure> set(const WatchdogPlan& plan);
    tl::expected<void, Failure> set_timeout(const WatchdogPlan& plan, bool settable);
    tl::expected<void, Failure> set_pretimeout(const WatchdogPlan& plan);

    FileDescriptor device_;
    WatchdogState state_;
    bool stops_ = true;
    bool complained_ = false;
};

/// What the kernel tells of the watchdog `device` without that it is opened: an attribute of
/// Documentation/ABI/testing/sysfs-class-watchdog. Empty if it does not.
std::string watchdog_attribute(const std::string& device, const char* name);

} // namespace belay::launcher
