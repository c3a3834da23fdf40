// SPDX-License-Identifier: Apache-2.0
#include "config/schema.hpp"

#include "config/keywords.hpp"
#include "config/nearest.hpp"

#include <algorithm>
#include <array>
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

constexpr std::array<std::string_view, 7> type_names{"null",   "boolean", "integer", "number",
                                                     "string", "array",   "object"};

constexpr unsigned bit_of(std::string_view type)
{
    for (std::size_t i = 0; i < type_names.size(); ++i)
        if (type_names.at(i) == type)
            return 1U << i;
    return 0;
}

/// The types that a value has.
unsigned types_of(const Node& value)
{
    constexpr auto number = bit_of("number");
    constexpr auto integer = bit_of("integer");
    switch (value.kind) {
    case Node::Kind::null:
        return bit_of("null");
    case Node::Kind::boolean:
        return bit_of("boolean");
    case Node::Kind::integer:
        return integer | number;
    case Node::Kind::number:
        return std::trunc(value.number) == value.number ? integer | number : number;
    case Node::Kind::string:
        return bit_of("string");
    case Node::Kind::sequence:
        return bit_of("array");
    case Node::Kind::mapping:
        break;
    }
    return bit_of("object");
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

std::size_t limit_of(const json& schema, const char* keyword, std::size_t fallback)
{
    const auto found = schema.find(keyword);
    return found != schema.end() && found->is_number() ? found->get<std::size_t>() : fallback;
}

std::vector<std::string> keys_of(const json& object)
{
    std::vector<std::string> result;
    for (const auto& item : object.items())
        result.push_back(item.key());
    return result;
}

/// Whether a key that nothing allows was suggested to be `key`: then that is the mistake, and has been reported.
bool is_misspelt(const Node& value, const std::string& key, const Terms& terms)
{
    if (terms.additional_properties == nullptr || *terms.additional_properties != false ||
        terms.properties == nullptr || terms.pattern_properties != nullptr)
        return false;
    const auto names = keys_of(*terms.properties);
    const std::vector<std::string> wanted{key}; // is told apart faster than all of them
    return std::ranges::any_of(value.members, [&](const Member& member) {
        return nearest(member.key, wanted) == key && std::ranges::count(names, member.key) == 0 &&
               nearest(member.key, names) == key;
    });
}

void report_type(const Node& value, const json& schema, const Subject& what, Diagnostics& diagnostics)
{
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
    report_error(diagnostics, value, what.text() + " is " + std::string{describe(value.kind)} + ", not " + expected,
                 hint);
}

void check_value(const Node& value, const Assertions& asserted, const Subject& what, Patterns& patterns,
                 Diagnostics& diagnostics)
{
    const auto plain = to_json(value);
    for (const auto& violation : violations(asserted, plain, patterns))
        report_error(diagnostics, value, what.text() + " is " + shown(plain) + ", which " + violation.message,
                     violation.hint);
}

void check_sequence_size(const Node& value, const json& schema, const Subject& what, Diagnostics& diagnostics)
{
    if (value.items.size() < limit_of(schema, "minItems", 0))
        report_error(diagnostics, value, what.text() + " needs at least " + schema["minItems"].dump() + " entries");
    if (value.items.size() > limit_of(schema, "maxItems", value.items.size()))
        report_error(diagnostics, value, what.text() + " may have at most " + schema["maxItems"].dump() + " entries");
    if (!schema.value("uniqueItems", false))
        return;
    std::set<json> seen;
    for (const auto& item : value.items)
        if (!seen.insert(to_json(item)).second)
            report_error(diagnostics, item, what.text() + " has " + shown(to_json(item)) + " twice");
}

void check_mapping_size(const Node& value, const json& schema, const Subject& what, Diagnostics& diagnostics)
{
    if (value.members.size() < limit_of(schema, "minProperties", 0))
        report_error(diagnostics, value,
                     what.text() + " needs at least " + schema["minProperties"].dump() + " entries");
    if (value.members.size() > limit_of(schema, "maxProperties", value.members.size()))
        report_error(diagnostics, value,
                     what.text() + " may have at most " + schema["maxProperties"].dump() + " entries");
}

} // namespace

std::string Subject::text() const
{
    std::string result{before};
    result.append(name);
    if (number != 0)
        result += std::to_string(number);
    result.append(after);
    return owner == nullptr ? result : result + " of " + owner->text();
}

bool SchemaValidator::validate(Node& value, const std::string& what, Diagnostics& diagnostics)
{
    return validate(value, Subject{{}, what, 0, {}, nullptr}, diagnostics);
}

bool SchemaValidator::validate(Node& value, const Subject& what, Diagnostics& diagnostics)
{
    Diagnostics found;
    check(value, root_, what, found);
    diagnostics.append(found);
    return !found.has_errors();
}

const Terms& SchemaValidator::terms_of(const json& unresolved)
{
    if (const auto known = terms_.find(&unresolved); known != terms_.end())
        return known->second;
    Terms terms;
    const auto& schema = resolve(unresolved);
    const auto look_up = [&](const char* keyword) {
        const auto found = schema.find(keyword);
        return found == schema.end() ? nullptr : &*found;
    };
    const auto has_one_of = [&](auto... keywords) { return (schema.contains(keywords) || ...); };
    terms.is_draft07 = &schema == &draft07() && &root_ != &draft07();
    terms.nothing_allowed = schema == false;
    if (schema.is_object()) {
        terms.schema = &schema;
        const auto types = types_of(schema);
        terms.typed = !types.empty();
        for (const auto& type : types)
            terms.types |= bit_of(type);
        terms.assertions = assertions_of(schema);
        terms.asserts_any_kind = has_one_of("enum", "const");
        terms.combines = has_one_of("allOf", "anyOf", "oneOf", "not", "if");
        terms.limits_size = has_one_of("minItems", "maxItems", "minProperties", "maxProperties", "uniqueItems");
        terms.properties = look_up("properties");
        terms.pattern_properties = look_up("patternProperties");
        terms.additional_properties = look_up("additionalProperties");
        terms.property_names = look_up("propertyNames");
        terms.required = look_up("required");
    }
    return terms_.emplace(&unresolved, std::move(terms)).first->second;
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

void SchemaValidator::check(Node& value, const json& schema, const Subject& what, Diagnostics& diagnostics)
{
    constexpr int deepest = 500;
    try {
        const auto& terms = terms_of(schema);
        if (terms.is_draft07) {
            if (!draft07_)
                draft07_ = std::make_unique<SchemaValidator>(draft07(), patterns_);
            draft07_->validate(value, what, diagnostics);
        } else if (terms.nothing_allowed) {
            report_error(diagnostics, value, what.text() + " is not allowed here");
        } else if (terms.schema != nullptr && depth_ <= deepest) {
            const Depth deeper{depth_};
            check_keywords(value, terms, what, diagnostics);
        }
    } catch (const std::exception& error) {
        report_error(diagnostics, value, "the schema for " + what.text() + " is itself invalid: " + error.what());
    }
}

void SchemaValidator::check_keywords(Node& value, const Terms& terms, const Subject& what, Diagnostics& diagnostics)
{
    const bool structured = value.is(Node::Kind::sequence) || value.is(Node::Kind::mapping);
    if (terms.typed && (terms.types & types_of(value)) == 0)
        report_type(value, *terms.schema, what, diagnostics);
    if (value.is(Node::Kind::sequence))
        check_sequence(value, terms, what, diagnostics);
    else if (value.is(Node::Kind::mapping))
        check_mapping(value, terms, what, diagnostics);
    if (structured ? terms.asserts_any_kind : !terms.assertions.empty())
        check_value(value, terms.assertions, what, patterns_, diagnostics);
    if (terms.combines)
        check_combined(value, *terms.schema, what, diagnostics);
}

void SchemaValidator::check_sequence(Node& value, const Terms& terms, const Subject& what, Diagnostics& diagnostics)
{
    const auto& schema = *terms.schema;
    if (terms.limits_size)
        check_sequence_size(value, schema, what, diagnostics);
    const auto items = schema.find("items");
    if (items == schema.end())
        return;
    for (std::size_t i = 0; i < value.items.size(); ++i) {
        const Subject name{"entry ", {}, i + 1, {}, &what};
        if (!items->is_array())
            check(value.items[i], *items, name, diagnostics);
        else if (i < items->size())
            check(value.items[i], (*items)[i], name, diagnostics);
        else if (schema.contains("additionalItems"))
            check(value.items[i], schema["additionalItems"], name, diagnostics);
    }
}

void SchemaValidator::check_mapping(Node& value, const Terms& terms, const Subject& what, Diagnostics& diagnostics)
{
    if (terms.limits_size)
        check_mapping_size(value, *terms.schema, what, diagnostics);
    for (std::size_t i = 0; i < value.members.size(); ++i)
        check_member(value, i, terms, what, diagnostics);
    if (terms.property_names != nullptr)
        for (const auto& member : value.members) {
            auto key = from_json(member.key, member.key_place);
            check(key, *terms.property_names, {"the key `", member.key, 0, "`", &what}, diagnostics);
        }
    if (terms.required != nullptr && terms.required->is_array())
        for (const auto& key : *terms.required)
            if (key.is_string() && value.find(key.get_ref<const std::string&>()) == nullptr &&
                !is_misspelt(value, key.get_ref<const std::string&>(), terms))
                report_error(diagnostics, value, what.text() + " lacks the key `" + key.get<std::string>() + "`");
    if (fill_ && terms.properties != nullptr && terms.properties->is_object())
        fill_defaults(value, *terms.properties);
}

void SchemaValidator::check_member(Node& owner, std::size_t index, const Terms& terms, const Subject& what,
                                   Diagnostics& diagnostics)
{
    auto& member = owner.members[index];
    const Subject name{"`", member.key, 0, "`", &what};
    bool known = false;
    if (terms.properties != nullptr)
        if (const auto found = terms.properties->find(member.key); found != terms.properties->end()) {
            known = true;
            check(member.value, *found, name, diagnostics);
        }
    std::string_view form;
    if (terms.pattern_properties != nullptr)
        for (const auto& [pattern, inner] : terms.pattern_properties->items()) {
            form = pattern;
            if (!patterns_.match(pattern, member.key))
                continue;
            known = true;
            check(member.value, inner, name, diagnostics);
        }
    if (known || terms.additional_properties == nullptr)
        return;
    if (!terms.additional_properties->is_boolean())
        return check(member.value, *terms.additional_properties, name, diagnostics);
    if (terms.additional_properties->get<bool>())
        return;
    const auto names = terms.properties != nullptr ? keys_of(*terms.properties) : std::vector<std::string>{};
    if (names.empty() && !form.empty())
        report_error(diagnostics, member.key_place, "`" + member.key + "` is not a valid name in " + what.text(),
                     "names must match " + std::string{form});
    else
        report_error(diagnostics, member.key_place, "unknown key `" + member.key + "` in " + what.text(),
                     suggest(member.key, names));
}

/// Each alternative is tried once: trying it again to report it would double the work at every level.
void SchemaValidator::check_alternatives(Node& value, const json& alternatives, bool exactly_one, const Subject& what,
                                         Diagnostics& diagnostics)
{
    int accepted = 0;
    std::vector<Diagnostics> of_its_type;
    std::vector<Diagnostics> of_any_type;
    for (const auto& alternative : alternatives) {
        const auto& terms = terms_of(alternative);
        if (terms.typed && (terms.types & types_of(value)) == 0)
            continue;
        Diagnostics found;
        if (accepts(value, alternative, what, found))
            ++accepted;
        else
            (terms.typed ? of_its_type : of_any_type).push_back(std::move(found));
    }
    if (of_its_type.empty())
        of_its_type = std::move(of_any_type);
    if (accepted == 0 && of_its_type.size() == 1)
        diagnostics.append(of_its_type.front());
    else if (accepted == 0)
        report_error(diagnostics, value, what.text() + " has none of the allowed forms");
    else if (exactly_one && accepted > 1)
        report_error(diagnostics, value, what.text() + " must have exactly one of the allowed forms");
}

void SchemaValidator::check_combined(Node& value, const json& schema, const Subject& what, Diagnostics& diagnostics)
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
        report_error(diagnostics, value, what.text() + " has a form that is excluded");
    if (const auto found = schema.find("if"); found != schema.end()) {
        const auto branch = schema.find(holds(*found) ? "then" : "else");
        if (branch != schema.end())
            check(value, *branch, what, diagnostics);
    }
}

/// Without filling anything in: it is only asked whether.
bool SchemaValidator::accepts(Node& value, const json& schema, const Subject& what, Diagnostics& diagnostics)
{
    const bool fill = std::exchange(fill_, false);
    check(value, schema, what, diagnostics);
    fill_ = fill;
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
        value.members.push_back({key, value, from_json(schema->at("default"), value)});
    }
}

} // namespace belay::config
