// SPDX-License-Identifier: Apache-2.0
#include "config/nearest.hpp"
#include "config/workspace.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace belay::config {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> stems(const fs::path& directory)
{
    std::vector<std::string> result;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error))
        if (entry.path().extension() == ".yaml")
            result.push_back(entry.path().stem().string());
    std::sort(result.begin(), result.end());
    return result;
}

/// The part of draft-07 that people get wrong: the name of a type.
void check_schema_type(Workspace& work, const Node& schema, const std::string& what)
{
    static const std::vector<std::string> names{"array", "boolean", "integer", "null", "number", "object", "string"};
    const auto* type = schema.find("type");
    if (type == nullptr)
        return;
    const auto test = [&](const Node& node) {
        if (std::find(names.begin(), names.end(), node.text) == names.end() && !node.is(Node::Kind::null))
            report_error(work.diagnostics, node, "the type of " + what + " is not one of JSON schema's",
                         suggest(node.text, names));
    };
    if (type->is(Node::Kind::sequence))
        std::for_each(type->items.begin(), type->items.end(), test);
    else
        test(*type);
}

void check_schemas(Workspace& work, const Node& interface)
{
    if (const auto* vars = interface.find("vars"); vars != nullptr)
        for (const auto& member : vars->members)
            check_schema_type(work, member.value, "`" + member.key + "`");
    const auto* commands = interface.find("cmds");
    if (commands == nullptr)
        return;
    for (const auto& command : commands->members) {
        if (const auto* arguments = command.value.find("arguments"); arguments != nullptr)
            for (const auto& member : arguments->members)
                check_schema_type(work, member.value, "`" + member.key + "` of `" + command.key + "`");
        if (const auto* returned = command.value.find("result"); returned != nullptr)
            check_schema_type(work, *returned, "the result of `" + command.key + "`");
    }
}

const Node* error_file(Workspace& work, const std::string& error_namespace, const Node& place)
{
    const auto known = work.error_files.find(error_namespace);
    if (known != work.error_files.end())
        return known->second ? &*known->second : nullptr;
    auto& file = work.error_files[error_namespace];
    const auto path = work.result.settings.errors_dir / (error_namespace + ".yaml");
    std::error_code error;
    if (!fs::exists(path, error)) {
        report_error(work.diagnostics, place, "the error file `" + path.string() + "` does not exist",
                     suggest(error_namespace, stems(work.result.settings.errors_dir)));
        return nullptr;
    }
    file = work.read(path);
    return file ? &*file : nullptr;
}

/// Adds what one reference names. A single name that does not exist is dropped with a warning, as EVerest does.
void add_errors(Workspace& work, const Node& reference, nlohmann::json& result)
{
    constexpr std::string_view prefix = "/errors/";
    if (!reference.text.starts_with(prefix))
        return;
    const auto text = reference.text.substr(prefix.size());
    const auto hash = text.find("#/");
    const auto error_namespace = text.substr(0, hash);
    const auto wanted = hash == std::string::npos ? std::string{} : text.substr(hash + 2);
    const auto* file = error_file(work, error_namespace, reference);
    const auto* list = file == nullptr ? nullptr : file->find("errors");
    if (list == nullptr)
        return;
    std::vector<std::string> names;
    bool found = wanted.empty();
    for (const auto& item : list->items) {
        const auto name = item.string_at("name");
        names.push_back(name);
        if (!wanted.empty() && name != wanted)
            continue;
        found = true;
        auto& group = result[error_namespace];
        if (group.contains(name))
            report_error(work.diagnostics, reference,
                         "the error `" + name + "` of `" + error_namespace + "` is referenced twice",
                         "remove one of the references");
        group[name] = to_json(item);
        group[name]["namespace"] = error_namespace;
    }
    if (!found)
        report_warning(work.diagnostics, reference,
                       "there is no error `" + wanted + "` in `" + error_namespace + "`; the reference is dropped",
                       suggest(wanted, names));
}

void strip_descriptions(nlohmann::json& interface)
{
    interface.erase("description");
    for (auto& variable : interface["vars"])
        variable.erase("description");
    for (auto& command : interface["cmds"]) {
        command.erase("description");
        for (auto& argument : command["arguments"])
            argument.erase("description");
        if (command["result"].is_object())
            command["result"].erase("description");
    }
}

} // namespace

void load_interface(Workspace& work, const std::string& name, const Node& place)
{
    auto& users = work.interface_users[name];
    users.push_back(name);
    if (users.size() > 1)
        return;
    const auto path = work.result.settings.interfaces_dir / (name + ".yaml");
    std::error_code error;
    if (!fs::exists(path, error)) {
        report_error(work.diagnostics, place, "the interface `" + name + "` has no file `" + path.string() + "`",
                     suggest(name, stems(work.result.settings.interfaces_dir)));
        return;
    }
    auto interface = work.read(path);
    if (!interface || !work.validate("interface", *interface, "the interface " + name))
        return;
    check_schemas(work, *interface);
    auto errors = nlohmann::json::object();
    if (const auto* list = std::as_const(*interface).find("errors"); list != nullptr)
        for (const auto& item : list->items)
            if (const auto* reference = item.find("reference"); reference != nullptr)
                add_errors(work, *reference, errors);
    auto published = to_json(*interface);
    published["errors"] = std::move(errors);
    strip_descriptions(published);
    work.result.interface_definitions[name] = std::move(published);
}

void load_types_and_errors(Workspace& work)
{
    const auto& settings = work.result.settings;
    if (!settings.validate_schema)
        return;
    for (const auto& stem : stems(settings.types_dir)) {
        auto types = work.read(settings.types_dir / (stem + ".yaml"));
        if (types && work.validate("type", *types, "the types of " + stem))
            work.result.types['/' + stem] = to_json(*types).value("types", nlohmann::json::object());
    }
    for (const auto& stem : stems(settings.errors_dir)) {
        auto errors = work.read(settings.errors_dir / (stem + ".yaml"));
        if (errors)
            work.validate("error-declaration-list", *errors, "the errors of " + stem);
    }
}

} // namespace belay::config
