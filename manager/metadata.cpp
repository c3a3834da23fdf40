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

} // namespace

std::vector<Message> make_metadata(const config::Configuration& configuration, const Topics& topics)
{
    std::vector<Message> messages;
    const auto add = [&](const std::string& topic, nlohmann::json data) {
        messages.push_back({topics.of(topic), envelope("ConfigurationResponse", std::move(data))});
    };
    add("interfaces", names_of(configuration.interface_definitions));
    for (const auto& [name, definition] : configuration.interface_definitions.items())
        add("interface_definitions/" + name, definition);
    add("types", names_of(configuration.types));
    for (const auto& [path, definitions] : configuration.types.items())
        add("type_definitions" + path, definitions);
    add("settings", settings_of(configuration.settings));
    if (!configuration.schemas.is_null())
        add("schemas", configuration.schemas);
    for (const auto& [name, manifest] : configuration.manifests.items()) {
        auto published = manifest;
        published.erase("config");
        add("manifests/" + name, std::move(published));
    }
    auto module_names = nlohmann::json::object();
    for (const auto& [id, module] : configuration.modules)
        module_names[id] = module.name;
    add("module_names", std::move(module_names));
    return messages;
}

} // namespace belay::manager
