// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <tl/expected.hpp>

#include <span>
#include <string>
#include <string_view>

// clang-format off
/// How the releases of EVerest since 2024.11 speak with their manager; read in the sources of everest-framework 0.19.1,
/// 0.20.3, 0.21.1, 0.22.1, 0.24.0, 0.25.0, and of EVerest afterwards. P is the everest prefix, T{x} an envelope
/// {"msg_type": T, "data": x}.
///
///   release           framework    request                                      answer, below P modules/<id>/
///   2024.11           0.19         P modules/<id>/get_config {"type":"full"}    config, the entry itself
///   2025.1 - 2025.5   0.20 - 0.21  the same                                     the same
///   2025.6 - 2025.10  0.22 - 0.24  P config/request {"type",...}                response {"status",...}
///   2025.12, 2026.02  0.25         P config/request GetConfig{...}              response GetConfigResponse{...}
///   2026.10           -            P config/request ConfigurationRequest{...}   response ConfigurationResponse{...}
///
/// The answer. Until 0.20: {"module_config": {<id>: entry}, "mappings", "telemetry_config"}, in 0.19 with "module_names",
/// too; of the entry `module`, `connections` and `config_maps` are read, in which a parameter is its value in 0.19 and
/// {"value", "type"} in 0.20. From 0.21 on `module_config` is that of wire-protocol.md §4.2, and standalone, module_name,
/// module_id, configuration_parameters, telemetry_enabled, connections and mapping are demanded. `capabilities` must be
/// a string there from 0.21 to 0.25, where present: a list ends the module. `access` may be null or absent.
///
/// Retained topics are wrapped as the answer is. They are read one after the other, each within 5 s, after the answer:
///   all          interfaces, interface_definitions/*, types, type_definitions/*
///   0.19, 0.20   module_provides, settings, schemas; 0.19: manifests, all in one; 0.20: module_names, manifests/*;
///                error_types_map ("namespace/Name" → description), module_config_cache (by module name)
///   from 0.21    settings, schemas if validate_schema, module_names, manifests/*; once for each module, not for each name
///
/// Ready, and P ready, are a bare `true` until 0.24, then ModuleReady{true} and GlobalReady{true}. P shutdown and
/// config/set_request exist since 2026.10 only: before, SIGTERM ends a module. Before 0.25 a missing member ends the
/// module, and nothing looks at msg_type; since, so does an unknown msg_type on any topic that it subscribed to. A
/// request that cannot be answered is not answered before 2026.10. argv and environment are those of today, but that
/// .venv is known since 0.25. MQTT 3.1.1 before 2026.10; the manager sets no property that a message would carry.
// clang-format on
namespace belay::manager {

struct Dialect
{
    std::string_view release;       ///< the first one that speaks it: its name in belay.yaml
    std::string_view request_topic; ///< a filter, without P
    std::string_view answer_topic;  ///< without P modules/<id>/
    std::string_view request_type;  ///< `msg_type`; empty: no envelope
    std::string_view answer_type;   ///< of answers and retained topics; empty: no envelope
    std::string_view ready_type;    ///< of modules; empty: no envelope
    std::string_view global_type;   ///< of the global ready; empty: no envelope
    bool whole_entry;               ///< the answer is the module's entry itself, without status
    bool typed_values;              ///< in that entry, {"value", "type"} instead of just the value
    bool extra_topics; ///< module_provides, manifests, error_types_map, module_config_cache; always schemas
    bool capabilities; ///< `module_config` may have the list
    bool shutdown_topic;
    bool set_request;

    /// Both begin with the same request.
    [[nodiscard]] bool sounds_like(const Dialect& other) const;
};

/// All of them, the oldest first.
[[nodiscard]] std::span<const Dialect> dialects();

/// Today's.
[[nodiscard]] const Dialect& newest_dialect();

/// Of the release that a text such as "everest-core 2025.4.1 main@2025.4.1" names; null if it names none that has one.
[[nodiscard]] const Dialect* dialect_of_release(std::string_view text);

struct Request
{
    const Dialect* dialect; ///< the oldest that sounds like this
    nlohmann::json data;    ///< as in the newest dialect: wire-protocol.md §4.1
};

/// `topic` is without P. The error is why it is none.
[[nodiscard]] tl::expected<Request, std::string_view> read_request(std::string_view topic, std::string_view payload);

/// Whether a module says that it is ready, in any dialect or in one. The error is why not.
[[nodiscard]] tl::expected<void, std::string_view> read_ready(std::string_view payload, const Dialect* dialect);

/// `data` is the newest dialect's, wire-protocol.md §4.2. Empty if the dialect has no words for it.
[[nodiscard]] std::string write_answer(const Dialect& dialect, nlohmann::json data,
                                       const config::Configuration& configuration);

/// With the envelope `type`, or without one if it is empty.
[[nodiscard]] std::string wrap(std::string_view type, const nlohmann::json& data);

} // namespace belay::manager
