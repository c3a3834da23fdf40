// SPDX-License-Identifier: Apache-2.0
#include "manager/runtime_watchdog.hpp"

#include "manager/libsystemd.hpp"

#include <cstdint>
#include <cstring>
#include <fmt/format.h>
#include <memory>

namespace belay::manager {

std::string describe_runtime_watchdog()
{
    if (libsystemd().booted() <= 0)
        return "systemd does not run here; another program feeds it";
    sd_bus* opened = nullptr;
    int result = libsystemd().bus_open_system(&opened);
    const std::unique_ptr<sd_bus, Systemd::Close> bus{opened, libsystemd().bus_flush_close_unref};
    constexpr std::uint64_t patience_us = 2'000'000;
    if (result >= 0)
        result = libsystemd().bus_set_method_call_timeout(bus.get(), patience_us);
    std::uint64_t timeout_us = 0;
    if (result >= 0)
        result = libsystemd().bus_get_property_trivial(bus.get(), "org.freedesktop.systemd1",
                                                       "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                                       "RuntimeWatchdogUSec", nullptr, 't', &timeout_us);
    if (result < 0)
        return fmt::format("whether systemd feeds it could not be asked: {}", std::strerror(-result));
    if (timeout_us == 0 || timeout_us == UINT64_MAX)
        return "systemd does not feed it (RuntimeWatchdogSec= is off); another program does";
    constexpr double us_per_s = 1e6;
    return fmt::format("systemd feeds it (RuntimeWatchdogSec={:g}s), and watches this service by WatchdogSec=",
                       static_cast<double>(timeout_us) / us_per_s);
}

} // namespace belay::manager
