// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "config/node.hpp"
#include "config/schema.hpp"
#include "config/yaml.hpp"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace belay::config {

/// A schema file and its validator; `document` outlives `validator`, which refers to it.
struct LoadedSchema
{
    nlohmann::json document;
    std::unique_ptr<SchemaValidator> validator;
};

/// What the steps of one load() share: where problems go, what was read so far, and the result in the making.
struct Workspace
{
    const LoadOptions& options;
    Diagnostics& diagnostics;
    Configuration result;
    Patterns patterns;
    std::unique_ptr<SchemaValidator> schema_validator; ///< check_schema()'s
    Node main;                                         ///< the configuration file; after apply_overlay() merged
    std::map<std::string, LoadedSchema> schemas;       ///< by file stem
    std::map<std::string, Node> manifests;             ///< by module name; the valid ones
    std::set<std::string> tried_manifests;
    std::set<std::string> tried_interfaces;
    std::set<const Node*> unusable_schemas; ///< of parameters; reported
    std::map<std::string, std::optional<Node>> error_files;
    Node module_policies; ///< belay.yaml, `modules:`

    /// Parses a file and records it as a source.
    std::optional<Node> read(const std::filesystem::path& path, Dialect dialect = Dialect::everest);
    /// Validates with the schema file called `schema`; true if there is no such schema (reported earlier).
    bool validate(const std::string& schema, Node& value, const std::string& what);
};

// settings.cpp
bool resolve_settings(Workspace& work, bool need_config);
// load.cpp
void load_schemas(Workspace& work);
/// Whether `schema` is a valid draft-07 schema; `what` names it. It is not changed.
bool check_schema(Workspace& work, Node& schema, const std::string& what);
// overlay.cpp
void apply_overlay(Workspace& work);
// stored_modules.cpp
/// Whether the database has modules: then they take the place of the file's, and no overlay counts.
bool apply_database(Workspace& work);
// manifests.cpp
/// The names of the directories with a manifest, sorted.
tl::expected<std::vector<std::string>, std::string> installed_modules(const Settings& settings);
void load_manifest(Workspace& work, const std::string& name, const Place& place);
void check_manifest(Workspace& work, const std::string& name);
void synthesise_probe_manifest(Workspace& work);
// interfaces.cpp
void load_interface(Workspace& work, const std::string& name, const Place& place);
void load_types_and_errors(Workspace& work);
// parameters.cpp
/// The `configuration_parameters` of one module.
nlohmann::json resolve_parameters(Workspace& work, const std::string& id, const Node& entry, const Node& manifest);
/// Checks that each parameter of a manifest's config map is a valid schema, and that its `default` obeys it.
void check_declarations(Workspace& work, const Node& map, const std::string& owner);
// wiring.cpp
void check_wiring(Workspace& work);
// modules.cpp
Module make_module(Workspace& work, const std::string& id, const Node& entry, const Node* manifest);
/// All of an entry but its parameters and its telemetry, in one form however it was written.
nlohmann::json structure_of(const Node& entry);
// belay_yaml.cpp
void load_belay_yaml(Workspace& work);
/// Once the modules are known.
void check_belay_modules(Workspace& work);
/// What it says about one module.
ModulePolicy policy_of(Workspace& work, const std::string& id, const std::string& name);

} // namespace belay::config
