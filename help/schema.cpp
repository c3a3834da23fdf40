// SPDX-License-Identifier: Apache-2.0
#include "config/belay_help.hpp"
#include "help/notation.hpp"
#include "help/pages.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace belay::help {

namespace {

using Json = nlohmann::ordered_json;
using Kind = Notation::Kind;

Json text(const char* pattern)
{
    return {{"type", "string"}, {"pattern", pattern}};
}

Json list_of(Json items)
{
    return {{"type", "array"}, {"items", std::move(items)}};
}

Json integer(int least, int most)
{
    return {{"type", "integer"}, {"minimum", least}, {"maximum", most}};
}

Json either(Json one, Json other)
{
    return {{"anyOf", Json::array({std::move(one), std::move(other)})}};
}

Json amount(const std::string& suffix, bool pair)
{
    const auto one = "([0-9]+" + suffix + "|infinity)";
    const auto pattern = '^' + one + (pair ? "(:" + one + ")?$" : "$");
    return either({{"type", "integer"}, {"minimum", pair ? 0 : 1}}, text(pattern.c_str()));
}

Json mapping()
{
    return {{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
}

Json value_of(const Notation& value)
{
    constexpr int last_port = 65535;
    constexpr int day = 86400;
    switch (value.kind) {
    case Kind::mapping:
        return mapping();
    case Kind::variables:
        return {{"type", "object"},
                {"propertyNames", {{"pattern", "^[A-Za-z_][A-Za-z0-9_]*$"}}},
                {"additionalProperties", {{"type", {"string", "number", "boolean"}}}}};
    case Kind::boolean:
        return {{"type", "boolean"}};
    case Kind::seconds:
        return {{"type", "number"}, {"minimum", 0}, {"maximum", day}};
    case Kind::timeout:
        return {{"type", "number"}, {"minimum", 0.1}, {"maximum", day}};
    case Kind::user:
        return either(text("^[^-]"), {{"type", "integer"}, {"minimum", 1}});
    case Kind::name:
        return text(".");
    case Kind::device:
        return text("^/dev/");
    case Kind::names:
        return list_of(text("."));
    case Kind::paths:
        return list_of(text("^/"));
    case Kind::ports:
        return list_of(integer(1, last_port));
    case Kind::capabilities:
        return list_of(text("^CAP_[A-Z_]+$"));
    case Kind::integer:
        return integer(value.range->first, value.range->second);
    case Kind::integers:
        return list_of(integer(value.range->first, value.range->second));
    case Kind::number:
        return amount("", value.pair);
    case Kind::bytes:
        return amount("[KMGT]?", value.pair);
    case Kind::percent:
        return text("^[0-9]+%$");
    case Kind::words:
        return {{"enum", value.words}};
    }
    return {};
}

Json schema_of(const config::KeyHelp& key)
{
    const auto value = parse(key);
    auto result = value_of(value);
    if (value.kind == Kind::mapping && !value.words.empty())
        result = Json{{"anyOf", Json::array({Json{{"enum", value.words}}, std::move(result)})}};
    std::string description = key.text;
    std::erase(description, '`');
    result["description"] = description;
    return result;
}

/// Where the keys of the mapping `path` are: below each module's id, and below the mapping beside a word.
Json& properties_of(Json& schema, std::string_view path)
{
    Json* place = &schema["properties"];
    while (!path.empty()) {
        const auto dot = std::min(path.find('.'), path.size());
        const std::string name{path.substr(0, dot)};
        path.remove_prefix(std::min(dot + 1, path.size()));
        Json* found = &(*place)[name];
        if (found->contains("anyOf"))
            found = &(*found)["anyOf"].back();
        if (name == "modules" && place == &schema["properties"])
            found = &(*found)["additionalProperties"];
        place = &(*found)["properties"];
    }
    return *place;
}

} // namespace

void write_schema(std::ostream& out)
{
    Json schema{{"$schema", "http://json-schema.org/draft-07/schema#"}, {"title", "belay.yaml"}};
    schema.update(mapping());
    for (const auto& key : config::belay_yaml_help()) {
        const std::string_view name = key.key;
        const auto dot = name.rfind('.');
        auto& properties = properties_of(schema, dot == name.npos ? "" : name.substr(0, dot));
        auto& one = properties[std::string{dot == name.npos ? name : name.substr(dot + 1)}] = schema_of(key);
        if (name == "modules") {
            one.erase("properties");
            one["additionalProperties"] = mapping();
        }
    }
    auto& keys = schema["properties"];
    keys["manager"]["properties"]["limits"] = keys["modules"]["additionalProperties"]["properties"]["limits"];
    out << schema.dump(1) << '\n';
}

} // namespace belay::help
