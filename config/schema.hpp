// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/keywords.hpp"
#include "config/node.hpp"

#include <nlohmann/json.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

namespace belay::config {

/// What is judged, in words that are only put together for a message: "`x` of entry 2 of the configuration".
struct Subject
{
    std::string_view before; ///< "entry ", or the opening of a quotation
    std::string_view name;
    std::size_t number = 0; ///< instead of a name, where it is none
    std::string_view after; ///< the closing
    const Subject* owner = nullptr;

    [[nodiscard]] std::string text() const;
};

/// What one schema says, looked up once for all values.
struct Terms
{
    const nlohmann::json* schema = nullptr; ///< without its `$ref`s; null: it has nothing to say
    bool nothing_allowed = false;
    bool is_draft07 = false;
    bool typed = false;
    unsigned types = 0; ///< a bit for each
    Assertions assertions;
    bool asserts_any_kind = false; ///< `enum` or `const`
    bool combines = false;
    const nlohmann::json* properties = nullptr;
    const nlohmann::json* pattern_properties = nullptr;
    const nlohmann::json* additional_properties = nullptr;
    const nlohmann::json* property_names = nullptr;
    const nlohmann::json* required = nullptr;
    bool limits_size = false; ///< of a list or mapping
};

/// Validates nodes against JSON schemas (draft-07, http://json-schema.org/draft-07/schema) and reports every violation
/// at its line: the structure is walked here, single values are judged by violations(). `default`s of absent properties
/// are filled in. Not supported, because EVerest's schemas do not use them: `$ref`s to other documents than draft07()
/// (taken as true), `dependencies`, `contains`.
class SchemaValidator
{
public:
    /// Both outlive the validator.
    SchemaValidator(const nlohmann::json& root, Patterns& patterns)
        : root_(root), patterns_(patterns), fill_(&root != &draft07())
    {}

    /// `what` names the value in messages, such as "the configuration". False if something was wrong. A value that is
    /// judged by draft07() is not changed.
    bool validate(Node& value, const std::string& what, Diagnostics& diagnostics);

private:
    bool validate(Node& value, const Subject& what, Diagnostics& diagnostics);
    void check(Node& value, const nlohmann::json& schema, const Subject& what, Diagnostics& diagnostics);
    void check_keywords(Node& value, const Terms& terms, const Subject& what, Diagnostics& diagnostics);
    void check_sequence(Node& value, const Terms& terms, const Subject& what, Diagnostics& diagnostics);
    void check_mapping(Node& value, const Terms& terms, const Subject& what, Diagnostics& diagnostics);
    void check_member(Node& owner, std::size_t index, const Terms& terms, const Subject& what,
                      Diagnostics& diagnostics);
    void check_combined(Node& value, const nlohmann::json& schema, const Subject& what, Diagnostics& diagnostics);
    void fill_defaults(Node& value, const nlohmann::json& properties);
    void check_alternatives(Node& value, const nlohmann::json& alternatives, bool exactly_one, const Subject& what,
                            Diagnostics& diagnostics);
    bool accepts(Node& value, const nlohmann::json& schema, const Subject& what, Diagnostics& diagnostics);
    const nlohmann::json& resolve(const nlohmann::json& schema) const;
    const Terms& terms_of(const nlohmann::json& schema);

    const nlohmann::json& root_;
    Patterns& patterns_;
    bool fill_; ///< a schema's own defaults are nobody's business
    int depth_ = 0;
    std::unordered_map<const nlohmann::json*, Terms> terms_; ///< of what is part of `root_`, or draft07()
    std::unique_ptr<SchemaValidator> draft07_;
};

} // namespace belay::config
