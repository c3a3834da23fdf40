// SPDX-License-Identifier: Apache-2.0
#include "config/keywords.hpp"
#include "config/nearest.hpp"
#include "config/workspace.hpp"

#include <algorithm>
#include <utility>

namespace belay::config {

namespace fs = std::filesystem;

std::optional<Node> Workspace::read(const fs::path& path, Dialect dialect)
{
    result.sources.insert(path);
    return load_yaml(path, diagnostics, Links::followed, dialect);
}

bool Workspace::validate(const std::string& schema, Node& value, const std::string& what)
{
    const auto found = schemas.find(schema);
    return found == schemas.end() || found->second.validator->validate(value, what, diagnostics);
}

bool check_schema(Workspace& work, Node& schema, const std::string& what)
{
    if (!work.schema_validator)
        work.schema_validator = std::make_unique<SchemaValidator>(draft07(), work.patterns);
    return work.schema_validator->validate(schema, what, work.diagnostics);
}

void load_schemas(Workspace& work)
{
    if (work.result.settings.schemas_dir.empty())
        return; // reported
    for (const auto* name : {"config", "manifest", "interface", "type", "error-declaration-list"}) {
        auto node = work.read(work.result.settings.schemas_dir / (std::string{name} + ".yaml"));
        if (!node)
            continue;
        if (!check_schema(work, *node, "the schema"))
            continue;
        auto& loaded = work.schemas[name];
        loaded.document = to_json(std::move(*node));
        loaded.validator = std::make_unique<SchemaValidator>(loaded.document, work.patterns);
    }
    work.result.schemas = nlohmann::json::object();
    for (const auto& [name, loaded] : work.schemas)
        work.result.schemas[name == "error-declaration-list" ? "error_declaration_list" : name] = loaded.document;
}

namespace {

void load_modules(Workspace& work)
{
    auto* modules = work.main.find("active_modules");
    if (modules == nullptr || !modules->is(Node::Kind::mapping))
        return;
    const Member* probe = nullptr;
    for (const auto& member : modules->members) {
        const auto* name = member.value.find("module");
        if (name == nullptr || !name->is(Node::Kind::string))
            continue;
        if (name->text != "ProbeModule") {
            load_manifest(work, name->text, *name);
        } else if (probe != nullptr) {
            report_error(work.diagnostics, *name,
                         "there are two ProbeModules, `" + probe->key + "` and `" + member.key + "`", "remove one");
        } else {
            probe = &member;
        }
    }
    if (probe != nullptr)
        synthesise_probe_manifest(work);
    for (const auto& [name, manifest] : work.manifests)
        check_manifest(work, name);
    for (const auto& member : modules->members) {
        const auto manifest = work.manifests.find(member.value.string_at("module"));
        work.result.modules[member.key] =
            make_module(work, member.key, member.value, manifest == work.manifests.end() ? nullptr : &manifest->second);
    }
    check_wiring(work);
}

Workspace make_workspace(const LoadOptions& options, Diagnostics& diagnostics)
{
    Workspace work{options, diagnostics, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}};
    work.result.manifests = nlohmann::json::object();
    work.result.interface_definitions = nlohmann::json::object();
    work.result.types = nlohmann::json::object();
    return work;
}

/// `--standalone` and `--ignore`, where EVerest would skip an unknown id silently.
void check_named_modules(Workspace& work)
{
    const auto* modules = std::as_const(work.main).find("active_modules");
    const auto known = modules == nullptr ? std::vector<std::string>{} : modules->keys();
    const auto check = [&](const char* option, const std::set<std::string>& ids) {
        for (const auto& id : ids)
            if (std::find(known.begin(), known.end(), id) == known.end())
                work.diagnostics.warning({}, std::string{option} + ": there is no module id `" + id + '`',
                                         id.find(',') == id.npos ? suggest(id, known) : "ids are separated by spaces");
    };
    check("--standalone", work.options.standalone);
    check("--ignore", work.options.ignore);
}

/// The last step: the nodes are used up.
void publish_manifests(Workspace& work)
{
    for (auto& [name, manifest] : work.manifests)
        work.result.manifests[name] = to_json(std::move(manifest));
}

} // namespace

tl::expected<Configuration, Invalid> load(const LoadOptions& options, Diagnostics& diagnostics)
{
    Diagnostics found;
    auto work = make_workspace(options, found);
    // A database by itself is enough.
    if (resolve_settings(work, options.config.empty() && !options.read_database)) {
        if (work.result.settings.config_file.empty())
            work.main.kind = Node::Kind::mapping;
        load_schemas(work);
        load_belay_yaml(work);
        work.result.from_database = apply_database(work);
        if (!work.result.from_database)
            apply_overlay(work);
        work.validate("config", work.main, "the configuration");
        load_types_and_errors(work);
        check_belay_modules(work);
        load_modules(work);
        check_named_modules(work);
        publish_manifests(work);
    }
    found.sort(work.result.settings.config_file.string());
    diagnostics.append(found); // what was there before is not this call's fault
    if (found.has_errors())
        return tl::unexpected(Invalid{!work.result.values_of_others});
    return std::move(work.result);
}

std::optional<nlohmann::json> load_all_manifests(const LoadOptions& options, Diagnostics& diagnostics)
{
    Diagnostics found;
    auto work = make_workspace(options, found);
    if (resolve_settings(work, false)) {
        load_schemas(work);
        if (const auto names = installed_modules(work.result.settings))
            for (const auto& name : *names)
                load_manifest(work, name, {});
        else if (!work.result.settings.modules_dir.empty())
            found.error({work.result.settings.modules_dir.string(), 0, 0, 0}, "cannot be read: " + names.error());
        publish_manifests(work);
    }
    found.sort({});
    diagnostics.append(found);
    if (found.has_errors())
        return std::nullopt;
    return std::move(work.result.manifests);
}

} // namespace belay::config
