// SPDX-License-Identifier: Apache-2.0
#include "config/schema.hpp"

#include "config/keywords.hpp"
#include "config/nearest.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <utility>

namespace belay::config {

namespace {

using nlohmann::json;

const json& always_true()
{
    static const json value = true;
    return value;
}

bool has_type(const Node& value, const std::string& type)
{
    switch (value.kind) {
    case Node::Kind::null:
        return type == "null";
    case Node::Kind::boolean:
        return type == "boolean";
    case Node::Kind::integer:
        return type == "integer" || type == "number";
    case Node::Kind::number:
        return type == "number" || (type == "integer" && std::trunc(value.number) == value.number);
    case Node::Kind::string:
        return type == "string";
    case Node::Kind::sequence:
        return type == "array";
    case Node::Kind::mapping:
        break;
    }
    return type == "object";
}

/// As describe() calls them.
std::string with_article(const std::string& type)
{
    if (type == "array")
        return "a list";
    if (type == "object")
        return "a mapping";
    return type == "null" ? type : (type == "integer" ? "an " : "a ") + type;
}

/// Counts a level for as long as it lives.
class Depth
{
public:
    explicit Depth(int& depth) : depth_(depth) { ++depth_; }
    ~Depth() { --depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    Depth(Depth&&) = delete;
    Depth& operator=(Depth&&) = delete;

private:
    int& depth_;
};

std::vector<std::string> types_of(const json& schema)
{
    const auto found = schema.find("type");
    if (!schema.is_object() || found == schema.end())
        return {};
    return found->is_array() ? found->get<std::vector<std::string>>()
                             : std::vector<std::string>{found->get<std::string>()};
}

bool speaks_of(const json& schema, const Node& value)
{
    if (!schema.is_object())
        return false;
    const auto types = types_of(schema);
    return types.empty() ||
           std::any_of(types.begin(), types.end(), [&](const std::string& type) { return has_type(value, type); });
}

std::size_t limit_of(const json& schema, const char* keyword, std::size_t fallback)
{
    const auto found = schema.find(keyword);
    return found != schema.end() && found->is_number() ? found->get<std::size_t>() : fallback;
}

} // namespace

bool SchemaValidator::validate(Node& value, const std::string& what, Diagnostics& diagnostics)
{
    Diagnostics found;
    check(value, root_, what, found);
    diagnostics.append(found);
    return !found.has_errors();
}

const json& SchemaValidator::resolve(const json& schema) const
{
    constexpr int longest_chain = 32;
    const json* current = &schema;
    for (int i = 0; i < longest_chain && current->is_object() && current->contains("$ref"); ++i) {
        const auto& reference = current->at("$ref");
        if (reference == draft07_address)
            return draft07();
        if (!reference.is_string() || !reference.get_ref<const std::string&>().starts_with("#"))
            return always_true();
        const json::json_pointer pointer{reference.get_ref<const std::string&>().substr(1)};
        if (!root_.contains(pointer))
            return always_true();
        current = &root_.at(pointer);
    }
    return *current;
}

void SchemaValidator::check(Node& value, const json& unresolved, const std::string& what, Diagnostics& diagnostics)
{
    constexpr int deepest = 500;
    try {
        const auto& schema = resolve(unresolved);
        if (&schema == &draft07() && &root_ != &draft07()) {
            SchemaValidator{draft07(), patterns_}.validate(value, what, diagnostics);
        } else if (schema == false) {
            report_error(diagnostics, value, what + " is not allowed here");
        } else if (schema.is_object() && depth_ <= deepest) {
            const Depth deeper{depth_};
            check_keywords(value, schema, what, diagnostics);
        }
    } catch (const std::exception& error) {
        report_error(diagnostics, value, "the schema for " + what + " is itself invalid: " + error.what());
    }
}

void SchemaValidator::check_keywords(Node& value, const json& schema, const std::string& what, Diagnostics& diagnostics)
{
    check_type(value, schema, what, diagnostics);
    if (value.is(Node::Kind::sequence))
        check_sequence(value, schema, what, diagnostics);
    else if (value.is(Node::Kind::mapping))
        check_mapping(value, schema, what, diagnostics);
    if ((!value.is(Node::Kind::sequence) && !value.is(Node::Kind::mapping)) || schema.contains("enum") ||
        schema.contains("const"))
        check_value(value, schema, what, diagnostics);
    check_combined(value, schema, what, diagnostics);
}

void SchemaValidator::check_type(const Node& value, const json& schema, const std::string& what,
                                 Diagnostics& diagnostics)
{
    if (speaks_of(schema, value))
        return;
    const auto types = types_of(schema);
    std::string expected;
    for (const auto& type : types)
        expected += (expected.empty() ? "" : &type == &types.back() ? " or " : ", ") + with_article(type);
    std::string hint;
    if (value.is(Node::Kind::string) && expected == "a boolean")
        hint = "write true or false, without quotes";
    else if (value.is(Node::Kind::string) && (expected == "an integer" || expected == "a number"))
        hint = "write a number, without quotes";
    else if (expected == "a string" && !value.is(Node::Kind::sequence) && !value.is(Node::Kind::mapping))
        hint = "write it in quotes";
    report_error(diagnostics, value, what + " is " + std::string{describe(value.kind)} + ", not " + expected, hint);
}

void SchemaValidator::check_value(const Node& value, const json& schema, const std::string& what,
                                  Diagnostics& diagnostics)
{
    const auto plain = to_json(value);
    for (const auto& violation : violations(schema, plain, patterns_))
        report_error(diagnostics, value, what + " is " + shown(plain) + ", which " + violation.message, violation.hint);
}

void SchemaValidator::check_sequence(Node& value, const json& schema, const std::string& what, Diagnostics& diagnostics)
{
    if (value.items.size() < limit_of(schema, "minItems", 0))
        report_error(diagnostics, value, what + " needs at least " + schema["minItems"].dump() + " entries");
    if (value.items.size() > limit_of(schema, "maxItems", value.items.size()))
        report_error(diagnostics, value, what + " may have at most " + schema["maxItems"].dump() + " entries");
    if (schema.value("uniqueItems", false)) {
        std::set<json> seen;
        for (const auto& item : value.items)
            if (!seen.insert(to_json(item)).second)
                report_error(diagnostics, item, what + " has " + shown(to_json(item)) + " twice");
    }
    const auto items = schema.find("items");
    if (items == schema.end())
        return;
    for (std::size_t i = 0; i < value.items.size(); ++i) {
        const auto name = "entry " + std::to_string(i + 1) + " of " + what;
        if (!items->is_array())
            check(value.items[i], *items, name, diagnostics);
        else if (i < items->size())
            check(value.items[i], (*items)[i], name, diagnostics);
        else if (schema.contains("additionalItems"))
            check(value.items[i], schema["additionalItems"], name, diagnostics);
    }
}

void SchemaValidator::check_mapping(Node& value, const json& schema, const std::string& what, Diagnostics& diagnostics)
{
    if (value.members.size() < limit_of(schema, "minProperties", 0))
        report_error(diagnostics, value, what + " needs at least " + schema["minProperties"].dump() + " entries");
    if (value.members.size() > limit_of(schema, "maxProperties", value.members.size()))
        report_error(diagnostics, value, what + " may have at most " + schema["maxProperties"].dump() + " entries");
    for (std::size_t i = 0; i < value.members.size(); ++i)
        check_member(value, i, schema, what, diagnostics);
    if (const auto names = schema.find("propertyNames"); names != schema.end())
        for (auto& member : value.members)
            check(member.key_node, *names, "the key `" + member.key + "` of " + what, diagnostics);
    if (const auto required = schema.find("required"); required != schema.end() && required->is_array())
        for (const auto& key : *required)
            if (key.is_string() && value.find(key.get<std::string>()) == nullptr)
                report_error(diagnostics, value, what + " lacks the key `" + key.get<std::string>() + "`");
    if (const auto properties = schema.find("properties");
        fill_ && properties != schema.end() && properties->is_object())
        fill_defaults(value, *properties);
}

void SchemaValidator::check_member(Node& owner, std::size_t index, const json& schema, const std::string& what,
                                   Diagnostics& diagnostics)
{
    auto& member = owner.members[index];
    const auto name = "`" + member.key + "` of " + what;
    bool known = false;
    std::vector<std::string> names;
    if (const auto properties = schema.find("properties"); properties != schema.end()) {
        if (const auto found = properties->find(member.key); found != properties->end()) {
            known = true;
            check(member.value, *found, name, diagnostics);
        } else {
            for (const auto& item : properties->items())
                names.push_back(item.key());
        }
    }
    std::string form;
    if (const auto patterns = schema.find("patternProperties"); patterns != schema.end()) {
        for (const auto& [pattern, inner] : patterns->items()) {
            form = pattern;
            if (!patterns_.match(pattern, member.key))
                continue;
            known = true;
            check(member.value, inner, name, diagnostics);
        }
    }
    const auto additional = schema.find("additionalProperties");
    if (known || additional == schema.end())
        return;
    if (!additional->is_boolean()) {
        check(member.value, *additional, name, diagnostics);
    } else if (!additional->get<bool>()) {
        if (names.empty() && !form.empty())
            report_error(diagnostics, member.key_node, "`" + member.key + "` is not a valid name in " + what,
                         "names must match " + form);
        else
            report_error(diagnostics, member.key_node, "unknown key `" + member.key + "` in " + what,
                         suggest(member.key, names));
    }
}

/// Each alternative is tried once: trying it again to report it would double the work at every level.
void SchemaValidator::check_alternatives(const Node& value, const json& alternatives, bool exactly_one,
                                         const std::string& what, Diagnostics& diagnostics)
{
    int accepted = 0;
    std::vector<Diagnostics> of_its_type;
    std::vector<Diagnostics> of_any_type;
    for (const auto& alternative : alternatives) {
        Diagnostics found;
        if (accepts(value, alternative, what, found))
            ++accepted;
        else if (types_of(resolve(alternative)).empty())
            of_any_type.push_back(std::move(found));
        else if (speaks_of(resolve(alternative), value))
            of_its_type.push_back(std::move(found));
    }
    if (of_its_type.empty())
        of_its_type = std::move(of_any_type);
    if (accepted == 0 && of_its_type.size() == 1)
        diagnostics.append(of_its_type.front());
    else if (accepted == 0)
        report_error(diagnostics, value, what + " has none of the allowed forms");
    else if (exactly_one && accepted > 1)
        report_error(diagnostics, value, what + " must have exactly one of the allowed forms");
}

void SchemaValidator::check_combined(Node& value, const json& schema, const std::string& what, Diagnostics& diagnostics)
{
    const auto holds = [&](const json& condition) {
        Diagnostics ignored;
        return accepts(value, condition, what, ignored);
    };
    if (const auto found = schema.find("allOf"); found != schema.end())
        for (const auto& part : *found)
            check(value, part, what, diagnostics);
    if (const auto found = schema.find("anyOf"); found != schema.end())
        check_alternatives(value, *found, false, what, diagnostics);
    if (const auto found = schema.find("oneOf"); found != schema.end())
        check_alternatives(value, *found, true, what, diagnostics);
    if (const auto found = schema.find("not"); found != schema.end() && holds(*found))
        report_error(diagnostics, value, what + " has a form that is excluded");
    if (const auto found = schema.find("if"); found != schema.end()) {
        const auto branch = schema.find(holds(*found) ? "then" : "else");
        if (branch != schema.end())
            check(value, *branch, what, diagnostics);
    }
}

bool SchemaValidator::accepts(const Node& value, const json& schema, const std::string& what, Diagnostics& diagnostics)
{
    Node copy = value;
    check(copy, schema, what, diagnostics);
    return !diagnostics.has_errors();
}

void SchemaValidator::fill_defaults(Node& value, const json& properties)
{
    for (const auto& [key, unresolved] : properties.items()) {
        if (value.find(key) != nullptr)
            continue;
        const auto* schema = &unresolved;
        if (schema->is_object() && !schema->contains("default"))
            schema = &resolve(*schema);
        if (!schema->is_object() || !schema->contains("default"))
            continue;
        Node key_node = from_json(key, value);
        value.members.push_back({key, std::move(key_node), from_json(schema->at("default"), value)});
    }
}

} // namespace belay::config
