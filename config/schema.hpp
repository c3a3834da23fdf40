// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/node.hpp"

#include <nlohmann/json.hpp>

#include <map>
#include <regex>
#include <string>

namespace belay::config {

/// Validates nodes against JSON schemas (draft-07, http://json-schema.org/draft-07/schema) and reports every violation
/// at its line. `default`s of absent properties are filled in. Not supported, because neither EVerest's schemas nor
/// scalar parameters use them: remote `$ref`s (taken as true), `dependencies`, `propertyNames`, `contains`.
class SchemaValidator
{
public:
    explicit SchemaValidator(const nlohmann::json& root) : root_(root) {}

    /// `what` names the value in messages, such as "the configuration". False if something was wrong.
    bool validate(Node& value, const std::string& what, Diagnostics& diagnostics);

private:
    void check(Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void check_type(const Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void check_values(const Node& value, const nlohmann::json& schema, const std::string& what,
                      Diagnostics& diagnostics);
    void check_number(const Node& value, const nlohmann::json& schema, const std::string& what,
                      Diagnostics& diagnostics);
    void check_string(const Node& value, const nlohmann::json& schema, const std::string& what,
                      Diagnostics& diagnostics);
    void check_sequence(Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void check_mapping(Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void check_member(Node& owner, std::size_t index, const nlohmann::json& schema, const std::string& what,
                      Diagnostics& diagnostics);
    void check_combined(Node& value, const nlohmann::json& schema, const std::string& what, Diagnostics& diagnostics);
    void fill_defaults(Node& value, const nlohmann::json& properties);
    bool accepts(const Node& value, const nlohmann::json& schema);
    bool matches(const std::string& pattern, const std::string& text);
    const nlohmann::json& resolve(const nlohmann::json& schema) const;

    const nlohmann::json& root_;
    std::map<std::string, std::regex> patterns_;
    int depth_ = 0;
};

} // namespace belay::config
