// SPDX-License-Identifier: Apache-2.0
#include "manager/parameter_text.hpp"

#include <charconv>
#include <cmath>

namespace belay::manager {

namespace {

constexpr std::string_view white_space = " \t\n\r\f\v";

template <typename Number>
std::optional<Number> parse_number(std::string_view text, Strictness strictness)
{
    text.remove_prefix(std::min(text.find_first_not_of(white_space), text.size()));
    if (text.starts_with('+') && !text.substr(1).starts_with('-'))
        text.remove_prefix(1);
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{})
        return std::nullopt;
    const auto rest = text.substr(static_cast<std::size_t>(end - text.data()));
    if (strictness == Strictness::whole && rest.find_first_not_of(white_space) != std::string_view::npos)
        return std::nullopt;
    return number;
}

} // namespace

std::optional<nlohmann::json> parse_value(std::string_view text, std::string_view datatype, Strictness strictness)
{
    if (datatype == "string")
        return nlohmann::json(text);
    if (datatype == "bool")
        return nlohmann::json(text == "true" || text == "1");
    if (datatype == "integer") {
        const auto number = parse_number<int>(text, strictness);
        return number ? std::optional{nlohmann::json(*number)} : std::nullopt;
    }
    if (datatype == "number") {
        const auto number = parse_number<double>(text, strictness);
        return number && std::isfinite(*number) ? std::optional{nlohmann::json(*number)} : std::nullopt;
    }
    return std::nullopt;
}

std::string value_text(const nlohmann::json& value)
{
    return value.is_string() ? value.get<std::string>() : value.dump();
}

} // namespace belay::manager
