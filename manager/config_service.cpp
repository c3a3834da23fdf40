// SPDX-License-Identifier: Apache-2.0
#include "manager/config_service.hpp"

#include "manager/access.hpp"
#include "manager/json_guard.hpp"
#include "manager/log.hpp"
#include "manager/topics.hpp"

#include <algorithm>
#include <array>

namespace belay::manager {

struct ConfigService::Response
{
    std::string_view status = "Ok";
    std::string status_info;
    std::string_view type; ///< empty: none
    nlohmann::json response;
};

namespace {

/// The member, if it is a string; otherwise null.
const std::string* text(const nlohmann::json& object, const char* key)
{
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() && found->is_string() ? &found->get_ref<const std::string&>() : nullptr;
}

std::optional<ParameterName> parse_identifier(const nlohmann::json& object)
{
    static const std::string own = "!module";
    const auto* module = text(object, "module_id");
    const auto* name = text(object, "configuration_parameter_name");
    if (module == nullptr || name == nullptr)
        return std::nullopt;
    const auto* implementation =
        object.contains("module_implementation_id") ? text(object, "module_implementation_id") : &own;
    if (implementation == nullptr)
        return std::nullopt;
    return ParameterName{*module, *implementation, *name};
}

nlohmann::json get_response(std::string_view type, nlohmann::json data)
{
    return {{"type", type}, {"data", std::move(data)}};
}

std::string denied(const std::string& origin, const std::string& target)
{
    return "Access to config item denied: " + origin + " cannot access " + printable(target);
}

std::string unknown_parameter(const ParameterName& parameter)
{
    return "Config parameter " + printable(parameter.name) + " not found in module " + printable(parameter.module);
}

/// In a `module_config`.
const nlohmann::json* find_in(const nlohmann::json& config, const ParameterName& wanted)
{
    const auto& list = member(member(config, "configuration_parameters"), wanted.implementation);
    for (const auto& parameter : list)
        if (const auto* name = text(parameter, "name"); name != nullptr && *name == wanted.name)
            return &parameter;
    return nullptr;
}

void set_in(nlohmann::json& config, const ParameterName& wanted, nlohmann::json value)
{
    auto& list = config["configuration_parameters"][wanted.implementation];
    const auto found = std::ranges::find_if(list, [&](const auto& one) { return one["name"] == wanted.name; });
    if (found != list.end())
        (*found)["value"] = std::move(value);
}

/// With every `ReadOnly` shown as `ReadWrite`.
nlohmann::json as_writable(nlohmann::json parameters)
{
    for (auto& list : parameters)
        for (auto& parameter : list)
            if (auto& mutability = parameter["characteristics"]["mutability"]; mutability == "ReadOnly")
                mutability = "ReadWrite";
    return parameters;
}

} // namespace

ConfigService::ConfigService(const config::Configuration& configuration, const Dialect& dialect)
    : configuration_(configuration)
{
    speak(dialect);
}

void ConfigService::speak(const Dialect& dialect)
{
    dialect_ = &dialect;
    for (const auto& [id, module] : configuration_.modules)
        write_start_up_answer(module);
}

void ConfigService::write_start_up_answer(const config::Module& module)
{
    start_up_answers_[module.id] = write_answer(*dialect_,
                                                {{"status", "Ok"},
                                                 {"status_info", ""},
                                                 {"type", "Get"},
                                                 {"response", get_response("Module", module_data(module))}},
                                                configuration_);
}

const nlohmann::json& ConfigService::config_of(const config::Module& module) const
{
    const auto found = changed_.find(module.id);
    return found == changed_.end() ? module.config : found->second;
}

const nlohmann::json* ConfigService::find(const ParameterName& parameter) const
{
    const auto module = configuration_.modules.find(parameter.module);
    return module == configuration_.modules.end() ? nullptr : find_in(config_of(module->second), parameter);
}

void ConfigService::postpone(const ParameterName& parameter, nlohmann::json value)
{
    auto& postponed = postponed_[parameter.module];
    std::erase_if(postponed, [&](const auto& one) { return one.first == parameter; });
    postponed.emplace_back(parameter, std::move(value));
}

void ConfigService::apply(const ParameterName& parameter)
{
    apply_if(parameter.module, [&](const ParameterName& name) { return name == parameter; });
}

void ConfigService::renew(const std::string& module)
{
    apply_if(module, [](const ParameterName&) { return true; });
}

void ConfigService::apply_if(const std::string& id, const std::function<bool(const ParameterName&)>& wanted)
{
    const auto postponed = postponed_.find(id);
    if (postponed == postponed_.end() || postponed->second.empty())
        return;
    const auto& module = configuration_.modules.at(id);
    auto& config = changed_.emplace(id, module.config).first->second;
    for (auto& [name, value] : postponed->second)
        if (wanted(name))
            set_in(config, name, std::move(value));
    std::erase_if(postponed->second, [&](const auto& one) { return wanted(one.first); });
    write_start_up_answer(module);
}

nlohmann::json ConfigService::module_data(const config::Module& module) const
{
    const auto& config = config_of(module);
    nlohmann::json mappings{{module.id, member(config, "mapping")}};
    for (const auto& connections : member(config, "connections"))
        for (const auto& connection : connections)
            if (const auto* other = text(connection, "module_id");
                other != nullptr && configuration_.modules.contains(*other))
                mappings[*other] = member(configuration_.modules.at(*other).config, "mapping");
    nlohmann::json data{{"module_config", config}, {"mappings", std::move(mappings)}};
    if (config.contains("telemetry_config"))
        data["telemetry_config"] = config["telemetry_config"];
    return data;
}

nlohmann::json ConfigService::all_configurations(const config::Module& requester) const
{
    auto all = nlohmann::json::object();
    for (const auto& [id, module] : configuration_.modules) {
        if (!may_read(requester, id))
            continue;
        const auto& parameters = member(config_of(module), "configuration_parameters");
        all[id] = may_set_read_only(requester, id) ? as_writable(parameters) : parameters;
    }
    return all;
}

nlohmann::json ConfigService::all_mappings(const config::Module& requester) const
{
    auto all = nlohmann::json::object();
    for (const auto& [id, module] : configuration_.modules)
        if (may_read(requester, id))
            all[id] = member(module.config, "mapping");
    return all;
}

ConfigService::Response ConfigService::value(const config::Module& requester, const nlohmann::json& request) const
{
    const auto nothing = get_response("Value", nullptr);
    if (!request.contains("identifier"))
        return {"Error", "No identifier provided", "Get", nothing};
    const auto identifier = parse_identifier(request["identifier"]);
    if (!identifier)
        return {
            "Error", "The identifier is not an object with module_id and configuration_parameter_name", {}, nullptr};
    if (!may_read(requester, identifier->module))
        return {"AccessDenied", denied(requester.id, identifier->module), "Get", nothing};
    const auto* parameter = find(*identifier);
    if (parameter == nullptr)
        return {"Error", unknown_parameter(*identifier), "Get", nothing};
    return {"Ok", "", "Get", get_response("Value", *parameter)};
}

ConfigService::Answer ConfigService::set(const config::Module& requester, const nlohmann::json& request) const
{
    auto identifier = parse_identifier(member(request, "identifier"));
    const auto* value = text(request, "value");
    if (!identifier || value == nullptr)
        return finish(requester.id,
                      {"Error", "A Set request needs an identifier and a value that is a string", {}, nullptr});
    Change change{requester.id, std::move(*identifier), *value};
    if (!may_write(requester, change.parameter.module))
        return set_answer(change, "AccessDenied", denied(requester.id, change.parameter.module), "Rejected", {});
    Answer answer{requester.id, {}, {}};
    answer.change = std::move(change);
    return answer;
}

ConfigService::Answer ConfigService::set_answer(const Change& change, std::string_view status,
                                                const std::string& status_info, std::string_view set_status,
                                                const std::string& set_status_info) const
{
    auto answer =
        finish(change.origin, {status, status_info, "Set", {{"status", set_status}, {"status_info", set_status_info}}});
    const auto& [module, implementation, name] = change.parameter;
    answer.refusal = set_status == "Rejected" ? '`' + change.origin + "` asks to set `" + printable(name) + "` of `" +
                                                    printable(module) + "`: " + status_info
                                              : std::string{};
    return answer;
}

ConfigService::Response ConfigService::get(const config::Module& requester, const nlohmann::json& request) const
{
    const auto* type = text(request, "type");
    if (type != nullptr && *type == "All")
        return {"Ok", "", "Get", get_response(*type, all_configurations(requester))};
    if (type != nullptr && *type == "AllMappings")
        return {"Ok", "", "Get", get_response(*type, all_mappings(requester))};
    if (type != nullptr && *type == "Value")
        return value(requester, request);
    return {"Error", "A Get request needs a type: Module, All, AllMappings or Value", {}, nullptr};
}

std::optional<ConfigService::Answer> ConfigService::answer(const nlohmann::json& request) const
{
    const auto* origin = text(request, "origin");
    if (origin == nullptr || !is_module_id(*origin))
        return std::nullopt;
    const auto* type = text(request, "type");
    const auto& details = member(request, "request");
    const auto requester = configuration_.modules.find(*origin);

    Response response{"Error", "A request needs a type, Get or Set, and an object `request`", {}, nullptr};
    if (requester == configuration_.modules.end()) {
        response.status_info = "Unknown origin module: " + *origin;
    } else if (type != nullptr && *type == "Get" && details.is_object()) {
        const auto* what = text(details, "type");
        if (what != nullptr && *what == "Module")
            return Answer{*origin, start_up_answers_.at(*origin), "", true};
        response = get(requester->second, details);
    } else if (type != nullptr && *type == "Set" && details.is_object()) {
        return set(requester->second, details);
    }
    return finish(*origin, std::move(response));
}

ConfigService::Answer ConfigService::finish(const std::string& origin, Response response) const
{
    nlohmann::json data{{"status", response.status}, {"status_info", response.status_info}};
    if (!response.type.empty())
        data["type"] = response.type;
    data["response"] = std::move(response.response);
    return Answer{origin, write_answer(*dialect_, std::move(data), configuration_), response.status_info};
}

} // namespace belay::manager
