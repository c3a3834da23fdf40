// SPDX-License-Identifier: Apache-2.0
#include "config/capabilities.hpp"
#include "config/nearest.hpp"
#include "config/workspace.hpp"

#include <algorithm>
#include <utility>

namespace belay::config {

namespace {

using nlohmann::json;

json tier(const Node& node)
{
    json result = json::object();
    for (const auto* key : {"evse", "connector"})
        if (const auto* value = node.find(key); value != nullptr)
            result[key] = to_json(*value);
    return result;
}

json mapping_of(const Node& entry)
{
    const auto* mapping = entry.find("mapping");
    if (mapping == nullptr)
        return nullptr;
    json result = json::object();
    if (const auto* module = mapping->find("module"); module != nullptr && module->find("evse") != nullptr)
        result["module"] = tier(*module);
    if (const auto* implementations = mapping->find("implementations"); implementations != nullptr)
        for (const auto& member : implementations->members)
            result["implementations"][member.key] = tier(member.value);
    return result.empty() ? json(nullptr) : result;
}

void warn_unknown_mapping(Workspace& work, const std::string& id, const Node& entry, const Node* manifest)
{
    const auto* mapping = entry.find("mapping");
    const auto* implementations = mapping == nullptr ? nullptr : mapping->find("implementations");
    const auto* provides = manifest == nullptr ? nullptr : manifest->find("provides");
    if (implementations == nullptr || provides == nullptr)
        return;
    for (const auto& member : implementations->members)
        if (provides->find(member.key) == nullptr)
            report_warning(work.diagnostics, member.key_place,
                           "the mapping of module `" + id + "` names the implementation `" + member.key +
                               "`, which it does not provide",
                           suggest(member.key, provides->keys()));
}

json connections_of(const Node& entry)
{
    auto result = json::object();
    const auto* connections = entry.find("connections");
    if (connections == nullptr)
        return result;
    for (const auto& member : connections->members) {
        if (member.value.items.empty())
            continue; // EVerest does not send an empty list
        auto& list = result[member.key] = json::array();
        for (const auto& item : member.value.items)
            list.push_back({{"module_id", item.string_at("module_id")},
                            {"implementation_id", item.string_at("implementation_id")},
                            {"requirement", {{"id", member.key}}}});
    }
    return result;
}

std::optional<Access> access_of(const Node& entry)
{
    const auto* node = entry.find("access");
    if (node == nullptr)
        return std::nullopt;
    Access result;
    const auto* config = node->find("config");
    if (config == nullptr)
        return result;
    result.allow_global_read = config->boolean_at("allow_global_read");
    result.allow_global_write = config->boolean_at("allow_global_write");
    result.allow_set_read_only = config->boolean_at("allow_set_read_only");
    if (const auto* modules = config->find("modules"); modules != nullptr)
        for (const auto& member : modules->members)
            result.modules[member.key] = {member.value.boolean_at("allow_read"), member.value.boolean_at("allow_write"),
                                          member.value.boolean_at("allow_set_read_only")};
    return result;
}

void warn_unknown_access(Workspace& work, const std::string& id, const Node& entry)
{
    const auto* access = entry.find("access");
    const auto* config = access == nullptr ? nullptr : access->find("config");
    const auto* modules = config == nullptr ? nullptr : config->find("modules");
    if (modules == nullptr)
        return;
    const auto known = std::as_const(work.main).find("active_modules")->keys();
    for (const auto& member : modules->members)
        if (std::find(known.begin(), known.end(), member.key) == known.end())
            report_warning(work.diagnostics, member.key_place,
                           "module `" + id + "` gets access to `" + member.key + "`, which does not exist",
                           suggest(member.key, known));
}

json access_to_json(const std::optional<Access>& access, const Node& entry)
{
    if (!access)
        return nullptr;
    if (entry.find("access")->find("config") == nullptr)
        return json::object();
    auto modules = json::object();
    for (const auto& [id, one] : access->modules)
        modules[id] = {{"allow_read", one.allow_read},
                       {"allow_write", one.allow_write},
                       {"allow_set_read_only", one.allow_set_read_only}};
    return {{"config",
             {{"allow_global_read", access->allow_global_read},
              {"allow_global_write", access->allow_global_write},
              {"allow_set_read_only", access->allow_set_read_only},
              {"modules", modules}}}};
}

/// The configuration entry's list wins over the manifest's.
void add_capabilities(Workspace& work, Module& module, const Node& entry, const Node* manifest)
{
    const auto* list = entry.find("capabilities");
    module.capabilities_of_manifest = list == nullptr;
    if (list == nullptr && manifest != nullptr)
        list = manifest->find("capabilities");
    if (list == nullptr)
        return;
    auto& names = module.config["capabilities"] = json::array();
    for (const auto& item : list->items) {
        if (!item.is(Node::Kind::string))
            continue;
        if (!capability_number(item.text))
            report_error(work.diagnostics, item,
                         "module `" + module.id + "` asks for the capability `" + item.text + "`, which does not exist",
                         suggest_capability(item.text));
        work.result.origins[module.id + "/capabilities/" + std::to_string(names.size())] = {
            location_of(item), item.file ? item.file->line(item.line) : std::string{}};
        names.push_back(item.text);
    }
}

} // namespace

json structure_of(const Node& entry)
{
    auto access = access_to_json(access_of(entry), entry);
    if (access.is_object() && access.empty()) // as good as none
        access = nullptr;
    const auto* capabilities = entry.find("capabilities");
    return {{"module", entry.string_at("module")},
            {"standalone", entry.boolean_at("standalone")},
            {"capabilities", capabilities == nullptr ? json(nullptr) : to_json(*capabilities)},
            {"connections", connections_of(entry)},
            {"mapping", mapping_of(entry)},
            {"access", std::move(access)}};
}

Module make_module(Workspace& work, const std::string& id, const Node& entry, const Node* manifest)
{
    Module module;
    module.id = id;
    module.name = entry.string_at("module");
    const bool configured_standalone = entry.boolean_at("standalone");
    module.standalone = configured_standalone || work.options.standalone.contains(id);
    module.ignored = work.options.ignore.contains(id);
    module.access = access_of(entry);
    warn_unknown_access(work, id, entry);
    warn_unknown_mapping(work, id, entry, manifest);
    module.config = {{"module_id", id},
                     {"module_name", module.name},
                     {"standalone", configured_standalone},
                     {"telemetry_enabled", false},
                     {"connections", connections_of(entry)},
                     {"mapping", mapping_of(entry)},
                     {"access", access_to_json(module.access, entry)}};
    if (const auto* telemetry = entry.find("telemetry"); telemetry != nullptr)
        if (const auto* number = telemetry->find("id"); number != nullptr)
            module.config["telemetry_config"] = {{"id", to_json(*number)}};
    add_capabilities(work, module, entry, manifest);
    module.policy = policy_of(work, module.id, module.name);
    if (const auto* place = entry.find("module"); place != nullptr && place->file)
        work.result.origins[id] = {location_of(*place), place->file->line(place->line)};
    module.config["configuration_parameters"] =
        manifest == nullptr ? json::object() : resolve_parameters(work, id, entry, *manifest);
    return module;
}

} // namespace belay::config
