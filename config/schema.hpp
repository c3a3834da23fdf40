// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/keywords.hpp"
#include "config/node.hpp"

#include <nlohmann/json.hpp>

#include <string>

namespace belay::config {

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

    /// `what` names the value in messages, such as "the configuration". False if something was wrong.
    bool validate(Node& value, const std::string& what, Diagnostics& diagnostics);

private:
    void check(Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void check_keywords(Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void check_type(const Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void check_value(const Node& value, const nlohmann::json& schema, const std::string& what,
                     Diagnostics& diagnostics);
    void check_sequence(Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void check_mapping(Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void check_member(Node& owner, std::size_t index, const nlohmann::json& schema, const std::string& what,
                      Diagnostics& diagnostics);
    void check_combined(Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void fill_defaults(Node& value, const nlohmann::json& properties);
    void check_alternatives(const Node& value, const nlohmann::json& alternatives, bool exactly_one,
                            const std::string& what, Diagnostics& diagnostics);
    bool accepts(const Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    const nlohmann::json& resolve(const nlohmann::json& schema) const;

    const nlohmann::json& root_;
    Patterns& patterns_;
    bool fill_; ///< a schema's own defaults are nobody's business
    int depth_ = 0;
};

} // namespace belay::config
