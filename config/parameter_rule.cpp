// SPDX-License-Identifier: Apache-2.0
#include "config/parameter_rule.hpp"

#include "config/keywords.hpp"

#include <string_view>

namespace belay::config {

namespace {

const nlohmann::json& at(const nlohmann::json& object, std::string_view key)
{
    static const nlohmann::json none;
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found == object.end() ? none : *found;
}

} // namespace

std::string objection(const Configuration& configuration, const Module& module, const std::string& implementation,
                      const std::string& parameter, const nlohmann::json& value)
{
    const auto& manifest = at(configuration.manifests, module.name);
    const auto& owner = implementation == "!module" ? manifest : at(at(manifest, "provides"), implementation);
    auto declaration = at(at(owner, "config"), parameter);
    if (at(declaration, "required").is_boolean()) // says nothing of a scalar
        declaration.erase("required");
    const auto schema = expand(std::move(declaration));
    if (!schema || !schema->is_object())
        return {};
    Patterns patterns;
    auto found = violations(assertions_of(*schema), value, patterns);
    if (found.empty())
        found = combined_violations(*schema, value);
    return found.empty() ? std::string{} : found.front().message;
}

} // namespace belay::config
