// SPDX-License-Identifier: Apache-2.0
#include "config/schema.hpp"

#include "config/nearest.hpp"

#include <algorithm>
#include <cmath>
#include <set>
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

std::string people_word(const std::string& type)
{
    if (type == "array")
        return "list";
    return type == "object" ? "mapping" : type;
}

std::string shown(const Node& value)
{
    const auto text = to_json(value).dump(-1, ' ', false, json::error_handler_t::replace);
    constexpr std::size_t widest = 60;
    return text.size() <= widest ? text : text.substr(0, widest) + "…";
}

std::size_t characters(const std::string& text)
{
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

/// EVerest's reading of two formats; others are not checked.
bool format_holds(const std::string& format, const std::string& text)
{
    if (format == "uri")
        return text.find("://") != std::string::npos;
    static const std::regex type_reference{"(/[a-zA-Z0-9_-]+)+#/[a-zA-Z0-9_-]+"};
    return format != "uri-reference" || std::regex_match(text, type_reference);
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
    for (const auto& item : found.all())
        diagnostics.error(item.location, item.message, item.hint, item.source);
    return !found.has_errors();
}

const json& SchemaValidator::resolve(const json& schema) const
{
    constexpr int longest_chain = 32;
    const json* current = &schema;
    for (int i = 0; i < longest_chain && current->is_object() && current->contains("$ref"); ++i) {
        const auto& reference = current->at("$ref");
        if (!reference.is_string() || !reference.get_ref<const std::string&>().starts_with("#"))
            return always_true();
        const json::json_pointer pointer{reference.get_ref<const std::string&>().substr(1)};
        if (!root_.contains(pointer))
            return always_true();
        current = &root_.at(pointer);
    }
    return *current;
}

bool SchemaValidator::matches(const std::string& pattern, const std::string& text)
{
    // std::regex recurses per character: longer texts could exhaust the stack.
    constexpr std::size_t longest = 4096;
    if (text.size() > longest)
        return false;
    auto found = patterns_.find(pattern);
    if (found == patterns_.end())
        found = patterns_.emplace(pattern, std::regex{pattern, std::regex::ECMAScript | std::regex::optimize}).first;
    return std::regex_search(text, found->second);
}

void SchemaValidator::check(Node& value, const json& unresolved, const std::string& what, Diagnostics& diagnostics)
{
    constexpr int deepest = 500;
    const auto& schema = resolve(unresolved);
    if (schema.is_boolean()) {
        if (!schema.get<bool>())
            report_error(diagnostics, value, what + " is not allowed here");
        return;
    }
    if (!schema.is_object() || depth_ > deepest)
        return;
    ++depth_;
    try {
        check_type(value, schema, what, diagnostics);
        check_values(value, schema, what, diagnostics);
        if (value.is(Node::Kind::sequence))
            check_sequence(value, schema, what, diagnostics);
        else if (value.is(Node::Kind::mapping))
            check_mapping(value, schema, what, diagnostics);
        check_combined(value, schema, what, diagnostics);
    } catch (const json::exception& error) {
        report_error(diagnostics, value, "the schema for " + what + " is itself invalid: " + error.what());
    } catch (const std::regex_error& error) {
        report_error(diagnostics, value, "the schema for " + what + " has an invalid pattern: " + error.what());
    }
    --depth_;
}

void SchemaValidator::check_type(const Node& value, const json& schema, const std::string& what,
                                 Diagnostics& diagnostics)
{
    const auto found = schema.find("type");
    if (found == schema.end())
        return;
    const auto types = found->is_array() ? found->get<std::vector<std::string>>()
                                         : std::vector<std::string>{found->get<std::string>()};
    if (std::any_of(types.begin(), types.end(), [&](const std::string& type) { return has_type(value, type); }))
        return;
    std::string expected;
    for (const auto& type : types)
        expected += (expected.empty() ? "" : " or ") + people_word(type);
    std::string hint = "expected " + expected;
    if (value.is(Node::Kind::string) && expected == "boolean")
        hint = "write true or false, without quotes";
    report_error(diagnostics, value, what + " is " + std::string{describe(value.kind)} + ", not a " + expected, hint);
}

void SchemaValidator::check_values(const Node& value, const json& schema, const std::string& what,
                                   Diagnostics& diagnostics)
{
    if (const auto choice = schema.find("enum"); choice != schema.end()) {
        if (std::find(choice->begin(), choice->end(), to_json(value)) == choice->end()) {
            std::vector<std::string> names;
            for (const auto& item : *choice)
                names.push_back(item.is_string() ? item.get<std::string>() : item.dump());
            report_error(diagnostics, value, what + " is " + shown(value) + ", which is not one of the allowed values",
                         suggest(value.text, names));
        }
    }
    if (const auto constant = schema.find("const"); constant != schema.end() && *constant != to_json(value))
        report_error(diagnostics, value, what + " must be " + constant->dump());
    if (value.is(Node::Kind::integer) || value.is(Node::Kind::number))
        check_number(value, schema, what, diagnostics);
    if (value.is(Node::Kind::string))
        check_string(value, schema, what, diagnostics);
}

void SchemaValidator::check_number(const Node& value, const json& schema, const std::string& what,
                                   Diagnostics& diagnostics)
{
    const double number = value.is(Node::Kind::integer) ? value.integer : value.number;
    const auto test = [&](const char* keyword, const char* words, auto holds) {
        const auto found = schema.find(keyword);
        if (found != schema.end() && found->is_number() && !holds(found->get<double>()))
            report_error(diagnostics, value, what + " is " + shown(value) + ", it must be " + words + found->dump());
    };
    test("minimum", "at least ", [&](double limit) { return number >= limit; });
    test("maximum", "at most ", [&](double limit) { return number <= limit; });
    test("exclusiveMinimum", "more than ", [&](double limit) { return number > limit; });
    test("exclusiveMaximum", "less than ", [&](double limit) { return number < limit; });
    test("multipleOf", "a multiple of ", [&](double step) {
        const double ratio = number / step;
        return std::abs(ratio - std::round(ratio)) < 1e-9;
    });
}

void SchemaValidator::check_string(const Node& value, const json& schema, const std::string& what,
                                   Diagnostics& diagnostics)
{
    const auto length = characters(value.text);
    if (length < limit_of(schema, "minLength", 0))
        report_error(diagnostics, value, what + " needs at least " + schema["minLength"].dump() + " characters");
    if (length > limit_of(schema, "maxLength", length))
        report_error(diagnostics, value, what + " may have at most " + schema["maxLength"].dump() + " characters");
    if (const auto pattern = schema.find("pattern"); pattern != schema.end()) {
        const auto& text = pattern->get_ref<const std::string&>();
        if (!matches(text, value.text))
            report_error(diagnostics, value, what + " is " + shown(value) + ", which does not have the required form",
                         "it must match " + text);
    }
    if (const auto format = schema.find("format"); format != schema.end() && format->is_string())
        if (!format_holds(format->get<std::string>(), value.text))
            report_error(diagnostics, value, what + " is not a valid " + format->get<std::string>());
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
                report_error(diagnostics, item, what + " has " + shown(item) + " twice");
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
    if (const auto required = schema.find("required"); required != schema.end() && required->is_array())
        for (const auto& key : *required)
            if (key.is_string() && value.find(key.get<std::string>()) == nullptr)
                report_error(diagnostics, value, what + " lacks the key `" + key.get<std::string>() + "`");
    if (const auto properties = schema.find("properties"); properties != schema.end() && properties->is_object())
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
            if (!matches(pattern, member.key))
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

void SchemaValidator::check_combined(Node& value, const json& schema, const std::string& what, Diagnostics& diagnostics)
{
    const auto count = [&](const json& choices) {
        return std::count_if(choices.begin(), choices.end(), [&](const json& one) { return accepts(value, one); });
    };
    if (const auto found = schema.find("allOf"); found != schema.end())
        for (const auto& part : *found)
            check(value, part, what, diagnostics);
    if (const auto found = schema.find("anyOf"); found != schema.end() && count(*found) == 0)
        report_error(diagnostics, value, what + " has none of the allowed forms");
    if (const auto found = schema.find("oneOf"); found != schema.end() && count(*found) != 1)
        report_error(diagnostics, value, what + " must have exactly one of the allowed forms");
    if (const auto found = schema.find("not"); found != schema.end() && accepts(value, *found))
        report_error(diagnostics, value, what + " has a form that is excluded");
    if (const auto found = schema.find("if"); found != schema.end()) {
        const auto branch = schema.find(accepts(value, *found) ? "then" : "else");
        if (branch != schema.end())
            check(value, *branch, what, diagnostics);
    }
}

bool SchemaValidator::accepts(const Node& value, const json& schema)
{
    Node copy = value;
    Diagnostics found;
    check(copy, schema, {}, found);
    return !found.has_errors();
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
