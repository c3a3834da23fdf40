// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/shared_library.hpp"

#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

namespace belay::manager {

/// What the manager uses of libsystemd: sd-event(3), sd-bus(3), sd-daemon(3).
struct Systemd
{
    using Close = decltype(&::sd_bus_flush_close_unref);

    SharedLibrary library{"libsystemd.so.0", "libsystemd0"};

    decltype(&::sd_event_new) event_new = library["sd_event_new"];
    decltype(&::sd_event_unref) event_unref = library["sd_event_unref"];
    decltype(&::sd_event_loop) event_loop = library["sd_event_loop"];
    decltype(&::sd_event_exit) event_exit = library["sd_event_exit"];
    decltype(&::sd_event_add_time) event_add_time = library["sd_event_add_time"];
    decltype(&::sd_event_add_io) event_add_io = library["sd_event_add_io"];
    decltype(&::sd_event_source_disable_unref) event_source_disable_unref = library["sd_event_source_disable_unref"];
    decltype(&::sd_event_source_set_enabled) event_source_set_enabled = library["sd_event_source_set_enabled"];
    decltype(&::sd_event_source_set_time_relative) event_source_set_time_relative =
        library["sd_event_source_set_time_relative"];
    decltype(&::sd_event_source_set_io_events) event_source_set_io_events = library["sd_event_source_set_io_events"];
    decltype(&::sd_event_source_set_prepare) event_source_set_prepare = library["sd_event_source_set_prepare"];

    decltype(&::sd_booted) booted = library["sd_booted"];
    decltype(&::sd_bus_open_system) bus_open_system = library["sd_bus_open_system"];
    Close bus_flush_close_unref = library["sd_bus_flush_close_unref"];
    decltype(&::sd_bus_set_method_call_timeout) bus_set_method_call_timeout = library["sd_bus_set_method_call_timeout"];
    decltype(&::sd_bus_get_property_trivial) bus_get_property_trivial = library["sd_bus_get_property_trivial"];
};

/// Loaded at the first call, which may throw as SharedLibrary says.
[[nodiscard]] inline const Systemd& libsystemd()
{
    static const Systemd library;
    return library;
}

} // namespace belay::manager
