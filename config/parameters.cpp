// SPDX-License-Identifier: Apache-2.0
#include "config/keywords.hpp"
#include "config/nearest.hpp"
#include "config/workspace.hpp"

#include <utility>

namespace belay::config {

namespace {

/// Without a `required` that is true or false, which EVerest lets pass (its EEBUS has it) and which says nothing of a
/// scalar.
Node as_draft07(Node declaration)
{
    std::erase_if(declaration.members,
                  [](const Member& m) { return m.key == "required" && m.value.is(Node::Kind::boolean); });
    return declaration;
}

using nlohmann::json;

/// The wire's names of the types.
std::string datatype_of(const std::string& type)
{
    return type == "boolean" ? "bool" : type;
}

bool type_agrees(const Node& value, const std::string& type)
{
    switch (value.kind) {
    case Node::Kind::boolean:
        return type == "boolean";
    case Node::Kind::integer:
        return type == "integer" || type == "number";
    case Node::Kind::number:
        return type == "number";
    case Node::Kind::string:
        return type == "string";
    default:
        return false;
    }
}

std::string type_hint(const Node& value, const std::string& type)
{
    if (type == "string")
        return "write it in quotes";
    if (value.is(Node::Kind::string) && type == "boolean")
        return "write true or false, without quotes";
    if (value.is(Node::Kind::string))
        return "write a number, without quotes";
    return "write a value of type " + type;
}

json wire_value(const Node& value, const std::string& type)
{
    if (type == "number" && value.is(Node::Kind::integer))
        return static_cast<double>(value.integer);
    if (type == "integer" && value.is(Node::Kind::number))
        return static_cast<int>(value.number);
    return to_json(value);
}

void check_keywords(Workspace& work, const Node& value, const json& wire, const json& schema, const std::string& what)
{
    auto found = violations(assertions_of(schema), wire, work.patterns);
    for (auto& violation : combined_violations(schema, wire))
        found.push_back(std::move(violation));
    for (const auto& violation : found)
        report_error(work.diagnostics, value, what + " is " + shown(to_json(value)) + ", which " + violation.message,
                     violation.hint);
}

/// The parameters of one config map: the module's own or one implementation's.
class ParameterMap
{
public:
    ParameterMap(Workspace& work, std::string owner, const Place& place, const Node* given)
        : work_(work), owner_(std::move(owner)), place_(place), given_(given)
    {}

    json resolve(const Node& declared)
    {
        if (given_ != nullptr && !given_->is(Node::Kind::mapping))
            return json::array(); // reported by the schema of the configuration
        warn_unknown(declared);
        std::map<std::string, const Node*> sorted;
        for (const auto& member : declared.members)
            sorted.emplace(member.key, &member.value);
        auto result = json::array();
        for (const auto& [name, schema] : sorted)
            if (const auto value = value_of(name, *schema); !value.is_null())
                result.push_back({{"name", name},
                                  {"value", value},
                                  {"characteristics",
                                   {{"datatype", datatype_of(schema->string_at("type"))},
                                    {"mutability", schema->string_at("mutability", "ReadOnly")}}}});
        return result;
    }

private:
    void warn_unknown(const Node& declared)
    {
        if (given_ == nullptr)
            return;
        for (const auto& member : given_->members)
            if (declared.find(member.key) == nullptr)
                report_warning(work_.diagnostics, member.key_place,
                               owner_ + " has no parameter `" + member.key + "`; it is ignored",
                               suggest(member.key, declared.keys()));
    }

    json value_of(const std::string& name, const Node& schema)
    {
        const auto type = schema.string_at("type");
        const auto* value = given_ == nullptr ? nullptr : given_->find(name);
        if (value == nullptr) {
            if (const auto* standard = schema.find("default"); standard != nullptr)
                return wire_value(*standard, type);
            report_error(work_.diagnostics, given_ != nullptr && !given_->members.empty() ? *given_ : place_,
                         owner_ + " lacks the parameter `" + name + "`, which has no default",
                         "add `" + name + "` (" + type + ")");
            return nullptr;
        }
        if (value->is(Node::Kind::null) || value->is(Node::Kind::sequence) || value->is(Node::Kind::mapping))
            return nullptr; // reported by the schema of the configuration
        if (!type_agrees(*value, type)) {
            report_error(work_.diagnostics, *value,
                         "the parameter `" + name + "` of " + owner_ + " is " + std::string{describe(value->kind)} +
                             ", the manifest wants the type " + type,
                         type_hint(*value, type));
            return nullptr;
        }
        auto result = wire_value(*value, type);
        if (const auto expanded = expand(to_json(as_draft07(schema)));
            expanded && !work_.unusable_schemas.contains(&schema))
            check_keywords(work_, *value, result, *expanded, "the parameter `" + name + "` of " + owner_);
        return result;
    }

    Workspace& work_;
    std::string owner_;
    const Place& place_;
    const Node* given_;
};

} // namespace

namespace {

/// A parameter's declaration is a draft-07 schema of a scalar.
void check_declaration(Workspace& work, const Member& parameter, const std::string& owner)
{
    const auto what = "the parameter `" + parameter.key + "` in the manifest of " + owner;
    const auto& schema = parameter.value;
    auto plain = as_draft07(schema);
    const auto expanded = expand(to_json(plain));
    if (!expanded)
        report_error(work.diagnostics, parameter.key_place, what + " has an unusable schema: " + expanded.error());
    if (!check_schema(work, plain, what) || !expanded) {
        work.unusable_schemas.insert(&schema);
        return;
    }
    const auto* value = schema.find("default");
    if (value == nullptr)
        return;
    const auto type = schema.string_at("type");
    if (!type_agrees(*value, type))
        report_error(work.diagnostics, *value,
                     "the default of " + what + " is " + std::string{describe(value->kind)} + ", its type is " + type,
                     type_hint(*value, type));
    else
        check_keywords(work, *value, wire_value(*value, type), *expanded, "the default of " + what);
}

} // namespace

void check_declarations(Workspace& work, const Node& map, const std::string& owner)
{
    for (const auto& member : map.members)
        check_declaration(work, member, owner);
}

json resolve_parameters(Workspace& work, const std::string& id, const Node& entry, const Node& manifest)
{
    const Node none;
    const auto or_none = [&](const Node* node) -> const Node& { return node == nullptr ? none : *node; };
    const auto* name = entry.find("module");
    const auto& place = name == nullptr ? entry : *name;
    auto result = json::object();
    result["!module"] = ParameterMap{work, "module `" + id + "`", place, entry.find("config_module")}.resolve(
        or_none(manifest.find("config")));
    const auto& provides = or_none(manifest.find("provides"));
    const auto* given = entry.find("config_implementation");
    for (const auto& member : provides.members) {
        const auto* values = given == nullptr ? nullptr : given->find(member.key);
        result[member.key] =
            ParameterMap{work, "the implementation `" + member.key + "` of module `" + id + "`", place, values}.resolve(
                or_none(member.value.find("config")));
    }
    for (const auto& member : or_none(given).members)
        if (provides.find(member.key) == nullptr)
            report_error(work.diagnostics, member.key_place,
                         "module `" + id + "` does not provide the implementation `" + member.key + "`",
                         suggest(member.key, provides.keys()));
    return result;
}

} // namespace belay::config
