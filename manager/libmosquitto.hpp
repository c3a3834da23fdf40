// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/shared_library.hpp"

#include <mosquitto.h>

namespace belay::manager {

/// What the manager uses of libmosquitto(3).
struct Mosquitto
{
    SharedLibrary library{"libmosquitto.so.1", "libmosquitto1"};

    decltype(&::mosquitto_lib_init) lib_init = library["mosquitto_lib_init"];
    decltype(&::mosquitto_lib_cleanup) lib_cleanup = library["mosquitto_lib_cleanup"];
    decltype(&::mosquitto_strerror) strerror = library["mosquitto_strerror"];
    decltype(&::mosquitto_reason_string) reason_string = library["mosquitto_reason_string"];

    decltype(&::mosquitto_new) create = library["mosquitto_new"];
    decltype(&::mosquitto_destroy) destroy = library["mosquitto_destroy"];
    decltype(&::mosquitto_int_option) int_option = library["mosquitto_int_option"];
    decltype(&::mosquitto_max_inflight_messages_set) max_inflight_messages_set =
        library["mosquitto_max_inflight_messages_set"];
    decltype(&::mosquitto_property_add_int32) property_add_int32 = library["mosquitto_property_add_int32"];
    decltype(&::mosquitto_property_free_all) property_free_all = library["mosquitto_property_free_all"];

    decltype(&::mosquitto_connect_v5_callback_set) connect_v5_callback_set =
        library["mosquitto_connect_v5_callback_set"];
    decltype(&::mosquitto_message_callback_set) message_callback_set = library["mosquitto_message_callback_set"];
    decltype(&::mosquitto_subscribe_callback_set) subscribe_callback_set = library["mosquitto_subscribe_callback_set"];
    decltype(&::mosquitto_unsubscribe_callback_set) unsubscribe_callback_set =
        library["mosquitto_unsubscribe_callback_set"];
    decltype(&::mosquitto_publish_callback_set) publish_callback_set = library["mosquitto_publish_callback_set"];

    decltype(&::mosquitto_connect_bind_v5) connect_bind_v5 = library["mosquitto_connect_bind_v5"];
    decltype(&::mosquitto_connect_bind_async) connect_bind_async = library["mosquitto_connect_bind_async"];
    decltype(&::mosquitto_disconnect_v5) disconnect_v5 = library["mosquitto_disconnect_v5"];
    decltype(&::mosquitto_socket) socket = library["mosquitto_socket"];
    decltype(&::mosquitto_want_write) want_write = library["mosquitto_want_write"];
    decltype(&::mosquitto_loop_read) loop_read = library["mosquitto_loop_read"];
    decltype(&::mosquitto_loop_write) loop_write = library["mosquitto_loop_write"];
    decltype(&::mosquitto_loop_misc) loop_misc = library["mosquitto_loop_misc"];

    decltype(&::mosquitto_publish_v5) publish_v5 = library["mosquitto_publish_v5"];
    decltype(&::mosquitto_subscribe_multiple) subscribe_multiple = library["mosquitto_subscribe_multiple"];
    decltype(&::mosquitto_unsubscribe_multiple) unsubscribe_multiple = library["mosquitto_unsubscribe_multiple"];
};

/// Loaded at the first call, which may throw as SharedLibrary says.
[[nodiscard]] inline const Mosquitto& libmosquitto()
{
    static const Mosquitto library;
    return library;
}

} // namespace belay::manager
