// SPDX-License-Identifier: Apache-2.0
#include "config/scalars.hpp"

#include <algorithm>
#include <cstdint>

namespace belay::config {

namespace {

bool all_digits(std::string_view text)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::string_view without_sign(std::string_view text)
{
    return !text.empty() && (text.front() == '-' || text.front() == '+') ? text.substr(1) : text;
}

} // namespace

bool is_integer(std::string_view text)
{
    return all_digits(without_sign(text));
}

bool has_leading_zero(std::string_view text)
{
    text = without_sign(text);
    return text.size() > 1 && text.front() == '0';
}

bool is_float(std::string_view text)
{
    text = without_sign(text);
    const auto exponent = text.find_first_of("eE");
    if (exponent != std::string_view::npos && !all_digits(without_sign(text.substr(exponent + 1))))
        return false;
    const auto mantissa = text.substr(0, exponent);
    const auto point = mantissa.find('.');
    if (point == std::string_view::npos)
        return exponent != std::string_view::npos && all_digits(mantissa);
    const auto before = mantissa.substr(0, point);
    const auto after = mantissa.substr(point + 1);
    return (before.empty() || all_digits(before)) && (after.empty() || all_digits(after)) && mantissa.size() > 1;
}

bool is_prefixed_integer(std::string_view text)
{
    text = without_sign(text);
    if (text.size() < 3 || text[0] != '0')
        return false;
    const std::string_view digits = text[1] == 'x' || text[1] == 'X'   ? "0123456789abcdefABCDEF"
                                    : text[1] == 'o' || text[1] == 'O' ? "01234567"
                                    : text[1] == 'b' || text[1] == 'B' ? "01"
                                                                       : "";
    return text.find_first_not_of(digits, 2) == std::string_view::npos;
}

std::size_t utf8_length(std::string_view text, std::size_t at)
{
    const auto byte = [&](std::size_t i) {
        return at + i < text.size() ? static_cast<std::uint8_t>(text[at + i]) : 0U;
    };
    const auto first = byte(0);
    if (first < 0x80)
        return 1;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    for (std::size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0U) != 0x80U)
            return 0;
    const auto second = byte(1);
    const bool wrong = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                       (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return wrong ? 0 : length;
}

bool is_utf8(std::string_view text)
{
    std::size_t at = 0;
    while (at < text.size()) {
        const auto length = utf8_length(text, at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}

} // namespace belay::config
