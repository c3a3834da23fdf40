// SPDX-License-Identifier: Apache-2.0
#include "config/keywords.hpp"

#include "config/nearest.hpp"

#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

namespace belay::config {

namespace {

using nlohmann::json;

/// A keyword that combines schemas, what is said when it is violated, and what it needs to be understood.
struct Combination
{
    const char* name;
    const char* sentence;
    std::vector<const char*> companions; ///< no initializer_list: it would outlive its elements
};

const std::array combinations{
    Combination{"allOf", "does not have all the required forms", {}},
    Combination{"anyOf", "has none of the allowed forms", {}},
    Combination{"oneOf", "must have exactly one of the allowed forms", {}},
    Combination{"not", "has a form that is excluded", {}},
    Combination{"if", "does not have the form required in its case", {"then", "else"}},
};

const json& number(const json& wanted)
{
    return wanted.is_number() ? wanted : throw std::runtime_error("`" + wanted.dump() + "` should be a number");
}

const std::string& text_of(const json& value)
{
    return value.get_ref<const std::string&>();
}

/// In characters, not bytes.
std::size_t length_of(const json& value)
{
    const auto& text = text_of(value);
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

/// 1 and 1.0 are one number to JSON schema, but not to valijson; and its formats are not EVerest's.
json canonical(const json& value)
{
    constexpr double exact = 9007199254740992; // 2^53
    if (value.is_number_float()) {
        const auto number = value.get<double>();
        if (std::abs(number) <= exact && std::trunc(number) == number)
            return static_cast<std::int64_t>(number);
    }
    auto result = value;
    if (result.is_object())
        result.erase("format");
    if (result.is_structured())
        for (auto& item : result)
            item = canonical(item);
    return result;
}

bool accepted(const json& schema, const json& value)
{
    const auto plain_schema = canonical(schema);
    const auto plain_value = canonical(value);
    valijson::Schema compiled;
    valijson::SchemaParser parser{valijson::SchemaParser::kDraft7};
    const valijson::adapters::NlohmannJsonAdapter schema_adapter{plain_schema};
    parser.populateSchema(schema_adapter, compiled);
    valijson::Validator validator;
    const valijson::adapters::NlohmannJsonAdapter value_adapter{plain_value};
    return validator.validate(compiled, value_adapter, nullptr);
}

bool mentions(const json& schema, const char* keyword)
{
    if (!schema.is_structured())
        return false;
    return (schema.is_object() && schema.contains(keyword)) ||
           std::any_of(schema.begin(), schema.end(), [&](const json& item) { return mentions(item, keyword); });
}

bool is_multiple(double number, double step)
{
    const double slack = std::abs(std::nextafter(number, 0.0) - number);
    return std::abs(std::remainder(number, step)) <= slack;
}

/// (/[a-zA-Z0-9_-]+)+#/[a-zA-Z0-9_-]+
bool is_type_reference(std::string_view text)
{
    const auto word = [](std::string_view part) {
        return !part.empty() && std::all_of(part.begin(), part.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
        });
    };
    const auto hash = text.find('#');
    if (hash == 0 || hash == std::string_view::npos || !text.starts_with('/') || text.substr(hash, 2) != "#/")
        return false;
    for (auto path = text.substr(0, hash); !path.empty();) {
        const auto end = std::min(path.find('/', 1), path.size());
        if (!word(path.substr(1, end - 1)))
            return false;
        path.remove_prefix(end);
    }
    return word(text.substr(hash + 2));
}

/// EVerest's reading of the formats that schemas of files use; others are annotations.
bool has_format(const std::string& format, const std::string& text, Patterns& patterns)
{
    if (format == "uri")
        return text.find("://") != std::string::npos;
    if (format == "regex")
        return patterns.is_valid(text);
    if (format != "uri-reference" || text.starts_with('#') || text.find("://") != std::string::npos)
        return true;
    return is_type_reference(text);
}

std::vector<std::string> names_of(const json& choice)
{
    std::vector<std::string> result;
    for (const auto& item : choice)
        result.push_back(item.is_string() ? item.get<std::string>() : item.dump());
    return result;
}

void check_combinations(const json& schema, const json& value, std::vector<Violation>& result)
{
    for (const auto& keyword : combinations) {
        const auto found = schema.find(keyword.name);
        if (found == schema.end())
            continue;
        json part = {{keyword.name, *found}};
        for (const auto* companion : keyword.companions)
            if (const auto other = schema.find(companion); other != schema.end())
                part[companion] = *other;
        if (!accepted(part, value))
            result.push_back({keyword.sentence, {}});
    }
}

class Expander
{
public:
    explicit Expander(const json& root) : root_(root) {}

    json expand(const json& schema, int depth)
    {
        constexpr int deepest = 100;
        constexpr int most = 1000;
        if (depth > deepest || ++count_ > most * deepest)
            throw std::runtime_error("its `$ref`s lead in a circle");
        if (!schema.is_structured())
            return schema;
        if (const auto reference = schema.is_object() ? schema.find("$ref") : schema.end(); reference != schema.end())
            return expand(target(*reference), depth + 1);
        auto result = schema;
        for (auto& item : result)
            item = expand(item, depth + 1);
        return result;
    }

private:
    const json& target(const json& reference) const
    {
        const auto text = reference.is_string() ? reference.get<std::string>() : reference.dump();
        const auto pointer = text.substr(std::min<std::size_t>(text.size(), 1));
        if (text.starts_with('#') && (pointer.empty() || pointer.starts_with('/')))
            if (const json::json_pointer where{pointer}; root_.contains(where))
                return root_.at(where);
        throw std::runtime_error("its `$ref` `" + text + "` leads nowhere");
    }

    const json& root_;
    int count_ = 0;
};

} // namespace

/// A keyword for a single value, what is said when it is violated ("%" is the keyword's value), and whether it holds. 1
/// and 1.0 are one number, to JSON schema as to nlohmann's comparisons.
struct Assertion
{
    std::string_view name;
    const char* sentence;
    bool (*holds)(const json& wanted, const json& value, Patterns& patterns);
};

namespace {

constexpr std::array assertions{
    Assertion{
        "minimum", "must be at least %",
        [](const json& wanted, const json& value, Patterns&) { return !value.is_number() || value >= number(wanted); }},
    Assertion{
        "maximum", "must be at most %",
        [](const json& wanted, const json& value, Patterns&) { return !value.is_number() || value <= number(wanted); }},
    Assertion{
        "exclusiveMinimum", "must be more than %",
        [](const json& wanted, const json& value, Patterns&) { return !value.is_number() || value > number(wanted); }},
    Assertion{
        "exclusiveMaximum", "must be less than %",
        [](const json& wanted, const json& value, Patterns&) { return !value.is_number() || value < number(wanted); }},
    Assertion{"minLength", "must have at least % characters",
              [](const json& wanted, const json& value, Patterns&) {
                  return !value.is_string() || number(wanted) <= length_of(value);
              }},
    Assertion{"maxLength", "may have at most % characters",
              [](const json& wanted, const json& value, Patterns&) {
                  return !value.is_string() || number(wanted) >= length_of(value);
              }},
    Assertion{"enum", "is not one of the allowed values",
              [](const json& wanted, const json& value, Patterns&) {
                  if (!wanted.is_array())
                      throw std::runtime_error("its `enum` should be a list");
                  return std::find(wanted.begin(), wanted.end(), value) != wanted.end();
              }},
    Assertion{"const", "must be %", [](const json& wanted, const json& value, Patterns&) { return wanted == value; }},
    Assertion{"pattern", "does not have the required form",
              [](const json& wanted, const json& value, Patterns& patterns) {
                  return !value.is_string() || !wanted.is_string() || patterns.match(text_of(wanted), text_of(value));
              }},
    Assertion{"format", "is not a valid %",
              [](const json& wanted, const json& value, Patterns& patterns) {
                  return !value.is_string() || !wanted.is_string() ||
                         has_format(text_of(wanted), text_of(value), patterns);
              }},
    Assertion{"multipleOf", "must be a multiple of %",
              [](const json& wanted, const json& value, Patterns&) {
                  return !value.is_number() || !wanted.is_number() ||
                         is_multiple(value.get<double>(), wanted.get<double>());
              }},
};

std::string hint_of(const Assertion& keyword, const json& wanted, const json& value)
{
    if (keyword.name == "enum")
        return suggest(value.is_string() ? text_of(value) : value.dump(), names_of(wanted));
    return keyword.name == "pattern" ? "it must match " + text_of(wanted) : std::string{};
}

Violation make_violation(const Assertion& keyword, const json& wanted, const json& value)
{
    std::string sentence = keyword.sentence;
    if (const auto place = sentence.find('%'); place != std::string::npos)
        sentence.replace(place, 1, keyword.name == "format" ? text_of(wanted) : shown(wanted));
    return {sentence, hint_of(keyword, wanted, value)};
}

} // namespace

const Patterns::Compiled& Patterns::compile(const std::string& pattern)
{
    if (const auto found = compiled_.find(pattern); found != compiled_.end())
        return found->second;
    auto simple = SimplePattern::parse(pattern);
    return compiled_
        .emplace(pattern, simple ? Compiled{std::move(*simple)} : Compiled{std::regex{pattern, std::regex::ECMAScript}})
        .first->second;
}

bool Patterns::match(const std::string& pattern, const std::string& text)
{
    if (text.size() > longest_text)
        return false;
    const auto& compiled = compile(pattern);
    if (const auto* simple = std::get_if<SimplePattern>(&compiled))
        return simple->match(text);
    return std::regex_search(text, std::get<std::regex>(compiled));
}

bool Patterns::is_valid(const std::string& pattern)
{
    try {
        compile(pattern);
        return true;
    } catch (const std::regex_error&) {
        return false;
    }
}

Assertions assertions_of(const json& schema)
{
    Assertions result;
    for (const auto& keyword : assertions)
        if (const auto found = schema.find(keyword.name); found != schema.end())
            result.emplace_back(&keyword, &*found);
    return result;
}

std::vector<Violation> violations(const Assertions& asserted, const json& value, Patterns& patterns)
{
    std::vector<Violation> result;
    for (const auto& [keyword, wanted] : asserted)
        if (!keyword->holds(*wanted, value, patterns))
            result.push_back(make_violation(*keyword, *wanted, value));
    return result;
}

std::vector<Violation> combined_violations(const json& schema, const json& value)
{
    std::vector<Violation> result;
    if (value.is_string() && value.get_ref<const std::string&>().size() > Patterns::longest_text &&
        mentions(schema, "pattern"))
        result.push_back({"has more than " + std::to_string(Patterns::longest_text) + " characters", {}});
    else
        check_combinations(schema, value, result);
    return result;
}

tl::expected<json, std::string> expand(json schema)
{
    if (!mentions(schema, "$ref"))
        return schema;
    try {
        return Expander{schema}.expand(schema, 0);
    } catch (const std::exception& error) {
        return tl::unexpected(std::string{error.what()});
    }
}

std::string shown(const json& value)
{
    constexpr std::size_t widest = 60;
    auto text = value.dump(-1, ' ', false, json::error_handler_t::replace);
    if (text.size() <= widest)
        return text;
    auto end = widest;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U)
        --end;
    return text.substr(0, end) + "…";
}

} // namespace belay::config
