// SPDX-License-Identifier: Apache-2.0
#include "manager/dialect.hpp"

#include "manager/json_guard.hpp"
#include "manager/topics.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

namespace belay::manager {

namespace {

using nlohmann::json;

constexpr std::string_view own_request = "modules/+/get_config";
constexpr std::string_view shared_request = "config/request";

// clang-format off
constexpr std::array table{
    //       release    request         answer      msg_type of request     and answer               of a ready one and of all       entry  typed  extra  caps.  shutd. set
    Dialect{"2024.11", own_request,    "config",   "",                     "",                      "",            "",            true,  false, true,  false, false, false},
    Dialect{"2025.1",  own_request,    "config",   "",                     "",                      "",            "",            true,  true,  true,  false, false, false},
    Dialect{"2025.6",  shared_request, "response", "",                     "",                      "",            "",            false, false, false, false, false, false},
    Dialect{"2025.12", shared_request, "response", "GetConfig",            "GetConfigResponse",     "ModuleReady", "GlobalReady", false, false, false, false, false, false},
    Dialect{"2026.10", shared_request, "response", "ConfigurationRequest", "ConfigurationResponse", "ModuleReady", "GlobalReady", false, false, false, true,  true,  true},
};
// clang-format on

using Release = std::pair<unsigned, unsigned>; ///< year and month

/// The number at the beginning, which is cut off.
std::optional<unsigned> take_number(std::string_view& text)
{
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{})
        return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return value;
}

std::optional<Release> release_at(std::string_view text)
{
    constexpr unsigned first_year = 2024;
    constexpr unsigned last_year = 2099;
    constexpr unsigned months = 12;
    const auto year = take_number(text);
    if (!year || *year < first_year || *year > last_year || !text.starts_with('.'))
        return std::nullopt;
    text.remove_prefix(1);
    const auto month = take_number(text);
    return month && *month >= 1 && *month <= months ? std::optional{Release{*year, *month}} : std::nullopt;
}

bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/// One parameter list as a map from names to values.
json values_of(const json& parameters, bool typed)
{
    auto result = json::object();
    for (const auto& parameter : parameters) {
        const auto& value = member(parameter, "value");
        const auto& type = member(member(parameter, "characteristics"), "datatype");
        result[parameter.at("name").get<std::string>()] =
            typed ? json{{"value", value}, {"type", type == "bool" ? json("boolean") : type}} : value;
    }
    return result;
}

/// The entry of the configuration, with the parameters completed as `config_maps`.
json entry_of(const json& module, bool typed)
{
    auto entry = json{{"module", member(module, "module_name")},      {"standalone", member(module, "standalone")},
                      {"connections", member(module, "connections")}, {"config_module", json::object()},
                      {"config_implementation", json::object()},      {"config_maps", json::object()}};
    for (const auto& [implementation, parameters] : member(module, "configuration_parameters").items()) {
        entry["config_maps"][implementation] = values_of(parameters, typed);
        const auto plain = values_of(parameters, false);
        if (implementation == "!module")
            entry["config_module"] = plain;
        else
            entry["config_implementation"][implementation] = plain;
    }
    return entry;
}

void erase_nulls(json& object)
{
    for (auto one = object.begin(); one != object.end();)
        one = one->is_null() ? object.erase(one) : std::next(one);
}

/// One object serves two parsers, which ignore what they do not know: 0.19 and 0.20 look for the module's id in it,
/// 0.21 for the members of today.
json whole_entry(const Dialect& dialect, json data, const config::Configuration& configuration)
{
    const auto& module = member(data, "module_config");
    const auto id = member(module, "module_id").get<std::string>();
    data["module_names"] = json::object();
    for (const auto& [each, other] : configuration.modules)
        data["module_names"][each] = other.name;
    auto entry = entry_of(module, dialect.typed_values);
    data["module_config"].erase("capabilities");
    data["module_config"][id] = std::move(entry);
    erase_nulls(data["mappings"]);
    return data;
}

} // namespace

bool Dialect::sounds_like(const Dialect& other) const
{
    return request_topic == other.request_topic && request_type == other.request_type;
}

std::span<const Dialect> dialects()
{
    return table;
}

const Dialect& newest_dialect()
{
    return table.back();
}

const Dialect* dialect_of_release(std::string_view text)
{
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto release = i > 0 && is_digit(text[i - 1]) ? std::nullopt : release_at(text.substr(i));
        if (!release)
            continue;
        const auto later =
            std::ranges::find_if(table, [&](const Dialect& one) { return *release < *release_at(one.release); });
        return later == table.begin() ? nullptr : &*std::prev(later);
    }
    return nullptr;
}

tl::expected<Request, std::string_view> read_request(std::string_view topic, std::string_view payload)
{
    auto message = parse_untrusted(payload);
    if (!message)
        return tl::unexpected(message.error());
    if (!message->is_object())
        return tl::unexpected<std::string_view>("it is not an object");
    if (const auto id = module_in(topic, "/get_config"); !id.empty())
        return Request{table.begin(), {{"type", "Get"}, {"origin", id}, {"request", {{"type", "Module"}}}}};
    const auto type = message->find("msg_type");
    const bool bare = type == message->end();
    const auto* found = std::ranges::find_if(table, [&](const Dialect& one) {
        return one.request_topic == topic && one.request_type.empty() == bare && (bare || *type == one.request_type);
    });
    if (found == table.end())
        return tl::unexpected<std::string_view>("its `msg_type` is not that of a request in any release of EVerest");
    if (!bare && !message->contains("data"))
        return tl::unexpected<std::string_view>("it has no `data`");
    return Request{found, bare ? std::move(*message) : std::move((*message)["data"])};
}

tl::expected<void, std::string_view> read_ready(std::string_view payload, const Dialect* dialect)
{
    auto message = parse_untrusted(payload);
    if (!message)
        return tl::unexpected(message.error());
    const bool bare = !message->is_object();
    const auto speaks = [&](const Dialect& one) {
        return (dialect == nullptr || dialect == &one) && one.ready_type.empty() == bare &&
               (bare || member(*message, "msg_type") == one.ready_type);
    };
    if (std::ranges::none_of(table, speaks))
        return tl::unexpected<std::string_view>("its `msg_type` is not the one of this topic");
    if ((bare ? *message : member(*message, "data")) != json(true))
        return tl::unexpected<std::string_view>(bare ? "it is not true" : "its `data` is not true");
    return {};
}

std::string write_answer(const Dialect& dialect, json data, const config::Configuration& configuration)
{
    const bool start_up = member(member(member(data, "response"), "data"), "module_config").is_object();
    if (dialect.whole_entry)
        return start_up ? serialize(whole_entry(dialect, std::move(data["response"]["data"]), configuration)) : "";
    if (start_up && !dialect.capabilities)
        data["response"]["data"]["module_config"].erase("capabilities");
    return wrap(dialect.answer_type, data);
}

std::string wrap(std::string_view type, const json& data)
{
    return type.empty() ? serialize(data) : envelope(type, data);
}

} // namespace belay::manager
