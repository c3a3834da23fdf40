// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/node.hpp"
#include "config/simple_pattern.hpp"

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include <map>
#include <regex>
#include <string>
#include <variant>
#include <vector>

/// Single values against the keywords of JSON schema (draft-07, draft-wright-json-schema-validation-01).
namespace belay::config {

/// The schema that every draft-07 schema obeys.
const nlohmann::json& draft07();

/// The address by which schemas refer to draft07().
constexpr const char* draft07_address = "http://json-schema.org/draft-07/schema#";

/// Compiled patterns. std::regex recurses for each character, so a text that is too long to be safe never matches.
class Patterns
{
public:
    /// Throws std::regex_error if `pattern` is none.
    bool match(const std::string& pattern, const std::string& text);
    /// Whether it is one.
    bool is_valid(const std::string& pattern);

    static constexpr std::size_t longest_text = 4096;

private:
    using Compiled = std::variant<SimplePattern, std::regex>;
    const Compiled& compile(const std::string& pattern);

    std::map<std::string, Compiled> compiled_;
};

struct Violation
{
    std::string message; ///< continues "the value …"
    std::string hint;
};

struct Assertion;

/// The keywords of one schema that assert something of a single value, and their values, which must outlive it: looked
/// up once for all values.
using Assertions = std::vector<std::pair<const Assertion*, const nlohmann::json*>>;

/// `schema` is an object.
Assertions assertions_of(const nlohmann::json& schema);

/// Which of them a value violates, a sentence each. The rounding of `multipleOf` is EVerest's, `format`s
/// are the two that its schemas use, and a text with a `pattern` may not be too long. Throws std::runtime_error if a
/// keyword's value is none. Not looked at: `type`, the keywords for lists and mappings, and those that combine schemas.
std::vector<Violation> violations(const Assertions& asserted, const nlohmann::json& value, Patterns& patterns);

/// Likewise for the keywords that combine schemas, of which valijson decides. `schema` has no `$ref`: see expand().
std::vector<Violation> combined_violations(const nlohmann::json& schema, const nlohmann::json& value);

/// `schema` with each `$ref` replaced by what it refers to. The error is a sentence: one that leads nowhere or in a
/// circle, which a schema of a scalar has no use for.
tl::expected<nlohmann::json, std::string> expand(nlohmann::json schema);

/// A value in messages; a long one is cut off.
std::string shown(const nlohmann::json& value);

} // namespace belay::config
