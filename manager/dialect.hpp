// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <tl/expected.hpp>

#include <span>
#include <string>
#include <string_view>

/// How the releases of EVerest since 2024.11 speak with their manager. From the sources of everest-framework 0.19.1 to
/// 0.25.0 and of EVerest afterwards; P is the everest prefix, <id> a module.
///
///                    2024.11 (0.19)    2025.1 (0.20-0.21)  2025.6 (0.22-0.24)  2025.12 (0.25)      2026.10
///   request          P modules/<id>/get_config             P config/request    the same            the same
///     payload        {"type":"full"}   the same            {type,origin,...}   GetConfig{...}
///     ConfigurationRequest{...}
///   answer           P modules/<id>/config                 P modules/<id>/response
///     payload        {module_config,mappings,telemetry_config}  {status,...}   GetConfigResponse{}
///     ConfigurationResponse{} module_config  {<id>: entry}     0.20 that, 0.21 ->  {module_id,...}     the same the
///     same capabilities   not read          0.21: must be a text where present; a list ends the module  a list
///   retained         bare              bare                bare                GetConfigResponse{}
///   ConfigurationResponse{}
///     read in order  interfaces, interface_definitions/*, types, type_definitions/*, then
///                    module_provides, settings, schemas,   settings, schemas if validate_schema, module_names,
///                    manifests (one)   module_names,       manifests/*, one for each value of module_names
///                                      manifests/*
///                    error_types_map, module_config_cache
///                    (0.21: as 2025.6)
///   ready, P ready   true              true                true                ModuleReady{true}, GlobalReady{true}
///   P shutdown       none: SIGTERM at once                                                         true
///   config/set_request  none                                                                       yes
///
/// T{x} is {"msg_type": T, "data": x}. argv and environment are the same in all. Every lookup has 5 s, after which the
/// module throws and exits. Up to 0.24 a payload that lacks a member ends the module; from 0.25 on, so does a
/// `msg_type` that it does not know, on any topic that it subscribed to. Up to 0.21 all requests are for the module's
/// own configuration, and one that is not known is not answered.
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
[[nodiscard]] std::string wrap(std::string_view type, nlohmann::json data);

} // namespace belay::manager
