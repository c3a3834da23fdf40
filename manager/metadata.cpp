// SPDX-License-Identifier: Apache-2.0
#include "manager/metadata.hpp"

#include "manager/json_guard.hpp"

namespace belay::manager {

namespace {

nlohmann::json names_of(const nlohmann::json& object)
{
    auto names = nlohmann::json::array();
    for (const auto& [name, ignored] : object.items())
        names.push_back(name);
    return names;
}

nlohmann::json without(const nlohmann::json& object, std::string_view key)
{
    auto result = nlohmann::json::object();
    for (const auto& [name, value] : object.items())
        if (name != key)
            result[name] = value;
    return result;
}

nlohmann::json settings_of(const config::Settings& settings)
{
    return {{"prefix", settings.prefix.string()},
            {"etc_dir", settings.etc_dir.string()},
            {"data_dir", settings.data_dir.string()},
            {"modules_dir", settings.modules_dir.string()},
            {"telemetry_prefix", settings.telemetry_prefix},
            {"telemetry_enabled", settings.telemetry_enabled},
            {"validate_schema", settings.validate_schema},
            {"forward_exceptions", settings.forward_exceptions}};
}

/// Module name → implementation → interface.
nlohmann::json provided_by(const nlohmann::json& manifests)
{
    auto result = nlohmann::json::object();
    for (const auto& [name, manifest] : manifests.items()) {
        result[name] = nlohmann::json::object();
        for (const auto& [id, implementation] : member(manifest, "provides").items())
            result[name][id] = implementation.at("interface");
    }
    return result;
}

/// "namespace/Name" → description.
nlohmann::json error_types(const nlohmann::json& interface_definitions)
{
    auto result = nlohmann::json::object();
    for (const auto& definition : interface_definitions)
        for (const auto& [space, errors] : member(definition, "errors").items())
            for (const auto& [name, error] : errors.items())
                result[space + '/' + name] = error.value("description", "");
    return result;
}

/// Module name → its implementations and their commands.
nlohmann::json module_cache(const nlohmann::json& provided, const nlohmann::json& interface_definitions)
{
    auto result = nlohmann::json::object();
    for (const auto& [module, implementations] : provided.items()) {
        auto commands = nlohmann::json::object();
        auto names = nlohmann::json::array();
        for (const auto& [implementation, interface] : implementations.items()) {
            names.push_back(implementation);
            commands[implementation] = interface_definitions.at(interface.get<std::string>()).at("cmds");
        }
        result[module] = {{"provides_impl", std::move(names)}, {"cmds", std::move(commands)}};
    }
    return result;
}

} // namespace

std::vector<Message> make_metadata(const config::Configuration& configuration, const Topics& topics,
                                   const Dialect& dialect)
{
    std::vector<Message> messages;
    const auto add = [&](const std::string& topic, const nlohmann::json& data) {
        messages.push_back({topics.of(topic), wrap(dialect.answer_type, data)});
    };
    add("interfaces", names_of(configuration.interface_definitions));
    for (const auto& [name, definition] : configuration.interface_definitions.items())
        add("interface_definitions/" + name, definition);
    add("types", names_of(configuration.types));
    for (const auto& [path, definitions] : configuration.types.items())
        add("type_definitions" + path, definitions);
    add("settings", settings_of(configuration.settings));
    if (configuration.settings.validate_schema || dialect.extra_topics)
        add("schemas", configuration.schemas);
    for (const auto& [name, manifest] : configuration.manifests.items())
        add("manifests/" + name, without(manifest, "config"));
    auto module_names = nlohmann::json::object();
    for (const auto& [id, module] : configuration.modules)
        module_names[id] = module.name;
    add("module_names", module_names);
    if (dialect.extra_topics) {
        const auto provided = provided_by(configuration.manifests);
        add("module_provides", provided);
        add("manifests", configuration.manifests);
        add("error_types_map", error_types(configuration.interface_definitions));
        add("module_config_cache", module_cache(provided, configuration.interface_definitions));
    }
    return messages;
}

} // namespace belay::manager
