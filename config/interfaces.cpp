// SPDX-License-Identifier: Apache-2.0
#include "config/files.hpp"
#include "config/nearest.hpp"
#include "config/workspace.hpp"

#include <utility>

namespace belay::config {

namespace {

void check_schemas(Workspace& work, Node& interface, const std::string& name)
{
    const auto of = " of the interface " + name;
    if (auto* vars = interface.find("vars"); vars != nullptr)
        for (auto& member : vars->members)
            check_schema(work, member.value, "the variable `" + member.key + '`' + of);
    auto* commands = interface.find("cmds");
    if (commands == nullptr)
        return;
    for (auto& command : commands->members) {
        const auto of_command = " of the command `" + command.key + '`' + of;
        if (auto* arguments = command.value.find("arguments"); arguments != nullptr)
            for (auto& member : arguments->members)
                check_schema(work, member.value, "the argument `" + member.key + '`' + of_command);
        if (auto* result = command.value.find("result"); result != nullptr)
            check_schema(work, *result, "the result" + of_command);
    }
}

const Node* error_file(Workspace& work, const std::string& error_namespace, const Place& place)
{
    const auto known = work.error_files.find(error_namespace);
    if (known != work.error_files.end())
        return known->second ? &*known->second : nullptr;
    auto& file = work.error_files[error_namespace];
    if (work.result.settings.errors_dir.empty())
        return nullptr;
    const auto path = work.result.settings.errors_dir / (error_namespace + ".yaml");
    if (!entry_exists(path)) {
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
        if (name.empty()) {
            report_error(work.diagnostics, item, "this declares no error: it has no name");
            continue;
        }
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

/// A command's result may be null: erasing from what is no object does nothing here.
void strip_description(nlohmann::json& value)
{
    if (value.is_object())
        value.erase("description");
}

void strip_descriptions(nlohmann::json& interface)
{
    strip_description(interface);
    for (auto& variable : interface["vars"])
        strip_description(variable);
    for (auto& command : interface["cmds"]) {
        if (!command.is_object())
            continue;
        strip_description(command);
        for (auto& argument : command["arguments"])
            strip_description(argument);
        strip_description(command["result"]);
    }
}

} // namespace

void load_interface(Workspace& work, const std::string& name, const Place& place)
{
    if (!work.tried_interfaces.insert(name).second || work.result.settings.interfaces_dir.empty())
        return;
    const auto path = work.result.settings.interfaces_dir / (name + ".yaml");
    if (!entry_exists(path)) {
        report_error(work.diagnostics, place, "the interface `" + name + "` has no file `" + path.string() + "`",
                     suggest(name, stems(work.result.settings.interfaces_dir)));
        return;
    }
    auto interface = work.read(path);
    if (!interface || !work.validate("interface", *interface, "the interface " + name))
        return;
    check_schemas(work, *interface, name);
    auto errors = nlohmann::json::object();
    if (const auto* list = std::as_const(*interface).find("errors"); list != nullptr)
        for (const auto& item : list->items)
            if (const auto* reference = item.find("reference"); reference != nullptr)
                add_errors(work, *reference, errors);
    auto published = to_json(std::move(*interface));
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
            work.result.types['/' + stem] = to_json(std::move(*types)).value("types", nlohmann::json::object());
    }
    for (const auto& stem : stems(settings.errors_dir)) {
        auto errors = work.read(settings.errors_dir / (stem + ".yaml"));
        if (errors)
            work.validate("error-declaration-list", *errors, "the errors of " + stem);
    }
}

} // namespace belay::config
