// SPDX-License-Identifier: Apache-2.0
#include "manager/config_service.hpp"

#include "manager/access.hpp"
#include "manager/log.hpp"
#include "manager/topics.hpp"

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

const nlohmann::json& member(const nlohmann::json& object, const char* key)
{
    static const nlohmann::json none;
    if (!object.is_object())
        return none;
    const auto found = object.find(key);
    return found != object.end() ? *found : none;
}

/// Which parameter is meant; the pointers go into the request.
struct Identifier
{
    const std::string* module = nullptr;
    const std::string* parameter = nullptr;
    std::string implementation = "!module";
};

std::optional<Identifier> parse_identifier(const nlohmann::json& object)
{
    Identifier identifier{text(object, "module_id"), text(object, "configuration_parameter_name")};
    if (identifier.module == nullptr || identifier.parameter == nullptr)
        return std::nullopt;
    if (object.contains("module_implementation_id")) {
        const auto* implementation = text(object, "module_implementation_id");
        if (implementation == nullptr)
            return std::nullopt;
        identifier.implementation = *implementation;
    }
    return identifier;
}

nlohmann::json get_response(std::string_view type, nlohmann::json data)
{
    return {{"type", type}, {"data", std::move(data)}};
}

std::string denied(const std::string& origin, const std::string& target)
{
    return "Access to config item denied: " + origin + " cannot access " + printable(target);
}

std::string unknown_parameter(const Identifier& identifier)
{
    return "Config parameter " + printable(*identifier.parameter) + " not found in module " +
           printable(*identifier.module);
}

const nlohmann::json* find_parameter(const config::Configuration& configuration, const Identifier& identifier)
{
    const auto module = configuration.modules.find(*identifier.module);
    if (module == configuration.modules.end())
        return nullptr;
    const auto& list =
        member(member(module->second.config, "configuration_parameters"), identifier.implementation.c_str());
    for (const auto& parameter : list)
        if (const auto* name = text(parameter, "name"); name != nullptr && *name == *identifier.parameter)
            return &parameter;
    return nullptr;
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
        start_up_answers_[id] = write_answer(dialect,
                                             {{"status", "Ok"},
                                              {"status_info", ""},
                                              {"type", "Get"},
                                              {"response", get_response("Module", module_data(module))}},
                                             configuration_);
}

nlohmann::json ConfigService::module_data(const config::Module& module) const
{
    nlohmann::json mappings{{module.id, member(module.config, "mapping")}};
    for (const auto& connections : member(module.config, "connections"))
        for (const auto& connection : connections)
            if (const auto* other = text(connection, "module_id");
                other != nullptr && configuration_.modules.contains(*other))
                mappings[*other] = member(configuration_.modules.at(*other).config, "mapping");
    nlohmann::json data{{"module_config", module.config}, {"mappings", std::move(mappings)}};
    if (module.config.contains("telemetry_config"))
        data["telemetry_config"] = module.config["telemetry_config"];
    return data;
}

nlohmann::json ConfigService::all_configurations(const config::Module& requester) const
{
    auto all = nlohmann::json::object();
    for (const auto& [id, module] : configuration_.modules) {
        if (!may_read(requester, id))
            continue;
        const auto& parameters = member(module.config, "configuration_parameters");
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
    if (!may_read(requester, *identifier->module))
        return {"AccessDenied", denied(requester.id, *identifier->module), "Get", nothing};
    const auto* parameter = find_parameter(configuration_, *identifier);
    if (parameter == nullptr)
        return {"Error", unknown_parameter(*identifier), "Get", nothing};
    return {"Ok", "", "Get", get_response("Value", *parameter)};
}

ConfigService::Response ConfigService::set(const config::Module& requester, const nlohmann::json& request) const
{
    const auto rejected = [](const std::string& why) {
        return nlohmann::json{{"status", "Rejected"}, {"status_info", why}};
    };
    const auto identifier = parse_identifier(member(request, "identifier"));
    if (!identifier || text(request, "value") == nullptr)
        return {"Error", "A Set request needs an identifier and a value that is a string", {}, nullptr};
    if (!may_write(requester, *identifier->module)) {
        const auto why = denied(requester.id, *identifier->module);
        return {"AccessDenied", why, "Set", rejected(why)};
    }
    if (find_parameter(configuration_, *identifier) == nullptr) {
        const auto why = unknown_parameter(*identifier);
        return {"Error", why, "Set", rejected(why)};
    }
    const std::string why = "Changing parameters at run time is not possible with this version of the manager; "
                            "change the configuration file and restart";
    return {"Ok", why, "Set", rejected(why)};
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
        response = set(requester->second, details);
    }

    nlohmann::json data{{"status", response.status}, {"status_info", response.status_info}};
    if (!response.type.empty())
        data["type"] = response.type;
    data["response"] = std::move(response.response);
    return Answer{*origin, write_answer(*dialect_, std::move(data), configuration_), response.status_info};
}

} // namespace belay::manager
