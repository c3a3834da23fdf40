// SPDX-License-Identifier: Apache-2.0
#include "config/nearest.hpp"
#include "config/workspace.hpp"

#include <utility>

namespace belay::config {

namespace {

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

bool obeys_schema(Node value, const Node& schema, const std::string& what, Diagnostics& diagnostics)
{
    const auto document = to_json(schema);
    return SchemaValidator{document}.validate(value, what, diagnostics);
}

/// The parameters of one config map: the module's own or one implementation's.
class ParameterMap
{
public:
    ParameterMap(Workspace& work, std::string owner, const Node& place, const Node* given)
        : work_(work), owner_(std::move(owner)), place_(place), given_(given)
    {}

    json resolve(const Node& declared)
    {
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
                report_warning(work_.diagnostics, member.key_node,
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
            report_error(work_.diagnostics, given_ != nullptr ? *given_ : place_,
                         owner_ + " lacks the parameter `" + name + "`, which has no default",
                         "add `" + name + "` (" + type + ")");
            return nullptr;
        }
        if (!type_agrees(*value, type)) {
            report_error(work_.diagnostics, *value,
                         "the parameter `" + name + "` of " + owner_ + " is " + std::string{describe(value->kind)} +
                             ", the manifest wants the type " + type,
                         type_hint(*value, type));
            return nullptr;
        }
        obeys_schema(*value, schema, "the parameter `" + name + "` of " + owner_, work_.diagnostics);
        return wire_value(*value, type);
    }

    Workspace& work_;
    std::string owner_;
    const Node& place_;
    const Node* given_;
};

} // namespace

void check_defaults(Workspace& work, const Node& map, const std::string& what)
{
    for (const auto& member : map.members)
        if (const auto* value = member.value.find("default"); value != nullptr)
            obeys_schema(*value, member.value, "the default of `" + member.key + "` in the manifest of " + what,
                         work.diagnostics);
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
            report_error(work.diagnostics, member.key_node,
                         "module `" + id + "` does not provide the implementation `" + member.key + "`",
                         suggest(member.key, provides.keys()));
    return result;
}

} // namespace belay::config
