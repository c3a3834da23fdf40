// SPDX-License-Identifier: Apache-2.0
#include "manager/json_guard.hpp"

namespace belay::manager {

namespace {

/// What is wrong with it before it is parsed, for that takes stack for each level and memory for each value.
std::string_view objection(std::string_view bytes)
{
    std::size_t depth = 0;
    std::size_t values = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const char c = bytes[i];
        if (in_string) {
            if (c == '\\')
                ++i;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == ',') {
            ++values;
        } else if (c == '{' || c == '[') {
            ++values;
            if (++depth > deepest_nesting)
                return "it is nested deeper than 64 levels";
        } else if ((c == '}' || c == ']') && depth > 0) {
            --depth;
        }
    }
    return values > most_values ? "it has more than 100,000 values" : "";
}

} // namespace

tl::expected<nlohmann::json, std::string_view> parse_untrusted(std::string_view bytes, std::size_t largest)
{
    if (bytes.size() > largest)
        return tl::unexpected<std::string_view>("it is too large");
    if (const auto why = objection(bytes); !why.empty())
        return tl::unexpected(why);
    auto value = nlohmann::json::parse(bytes, nullptr, false);
    if (value.is_discarded())
        return tl::unexpected<std::string_view>("it is not JSON");
    return value;
}

const nlohmann::json& member(const nlohmann::json& object, std::string_view key)
{
    static const nlohmann::json none;
    const auto found = object.is_object() ? object.find(key) : object.end();
    return found != object.end() ? *found : none;
}

std::string serialize(const nlohmann::json& value)
{
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string envelope(std::string_view type, const nlohmann::json& data)
{
    return R"({"data":)" + serialize(data) + R"(,"msg_type":")" + std::string{type} + "\"}";
}

} // namespace belay::manager
