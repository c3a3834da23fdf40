// SPDX-License-Identifier: Apache-2.0
//
// The EVerest configuration, its overlay, and what they lead to: manifests, interfaces, types, errors, belay.yaml, and
// the schemas of all that.
// Guaranteed of any content: loading ends with a value or with errors that say why not; a plan made of the value is one
// that the launcher takes; everything that would be published can be; and with run_as_user an overlay, which that user
// may write, changes nothing of the plan; nor does a database.
//
// An input is several files: the configuration, then each with a line "%% NAME" before it (see `names`; "database" is
// what the child says that reads it); those that are absent are valid ones, and of schemas such that ask for nothing:
// EVerest's take a hundred times as long.
#include "manager/json_guard.hpp"
#include "tests/fuzz/loading.hpp"

#include <sstream>

using namespace belay::config;

namespace {

constexpr const char* database = "database";

const std::map<std::string, std::string> names{
    {database, database},
    {"overlay", Installation::overlay},
    {"belay", Installation::belay_yaml},
    {"manifest", "libexec/everest/modules/Thing/manifest.yaml"},
    {"interface", "share/everest/interfaces/thing.yaml"},
    {"types", "share/everest/types/thing.yaml"},
    {"errors", "share/everest/errors/thing.yaml"},
    {"config-schema", "share/everest/schemas/config.yaml"},
    {"manifest-schema", "share/everest/schemas/manifest.yaml"},
    {"interface-schema", "share/everest/schemas/interface.yaml"},
};

std::unique_ptr<Installation> make()
{
    auto result = std::make_unique<Installation>();
    result->standard(Installation::main_file, "active_modules: {}\n");
    result->standard(Installation::overlay, "");
    result->standard(Installation::belay_yaml, "");
    result->standard(names.at("manifest"), Prefix::thing_manifest);
    result->standard(names.at("interface"), "description: a thing\n"); // a short one: all of it is checked each time
    result->standard(names.at("types"), Prefix::thing_types);
    result->standard(names.at("errors"), Prefix::thing_errors);
    for (const auto* schema : {"config-schema", "manifest-schema", "interface-schema"})
        result->standard(names.at(schema), Installation::any_schema);
    return result;
}

using Files = std::map<std::string, std::string>; // by path

Files parse(const std::string& text)
{
    constexpr std::string_view mark = "%% ";
    Files result;
    auto* current = &result[Installation::main_file];
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(mark) && names.contains(line.substr(mark.size())))
            current = &result[names.at(line.substr(mark.size()))];
        else
            *current += line + '\n';
    }
    return result;
}

void check_publishable(const Configuration& configuration)
{
    for (const auto* value : {&configuration.manifests, &configuration.interface_definitions, &configuration.types})
        require(value->is_object() && !value->dump().empty(), "what is published is JSON"); // dump() throws if not
    for (const auto& [id, module] : configuration.modules)
        require(id == module.id && module.config.is_object() && !module.config.dump().empty(),
                "what a module is told is JSON");
}

/// The JSON of the child, if it is any.
std::optional<nlohmann::json> stored_modules(const Files& files)
{
    const auto found = files.find(database);
    if (found == files.end())
        return std::nullopt;
    auto modules = belay::manager::parse_untrusted(found->second);
    return modules ? std::optional{std::move(*modules)} : std::nullopt;
}

/// Of the plan with and without what the unprivileged user may write.
void check_overlay(Installation& installation, Files files, const belay::launcher::LaunchPlan& plan)
{
    files.erase(Installation::overlay);
    installation.put(files);
    installation.database.reset();
    const auto without = installation.load();
    const auto other = without ? installation.plan(*without, true) : std::nullopt;
    require(!other || encode(*other) == encode(plan), "with run_as_user an overlay does not change the plan");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const auto installation = make();
    const auto files = parse({reinterpret_cast<const char*>(data), size});
    installation->put(files);
    installation->database = stored_modules(files);
    const auto configuration = installation->load();
    if (!configuration)
        return 0;
    check_publishable(*configuration);
    installation->plan(*configuration, false);
    const auto plan = installation->plan(*configuration, true);
    if (plan && (files.contains(Installation::overlay) || files.contains(database)) &&
        !configuration->settings.run_as_user.empty())
        check_overlay(*installation, files, *plan);
    return 0;
}
