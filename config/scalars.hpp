// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string_view>

/// What an unquoted YAML scalar is to EVerest (everest-docs/config.md §2), and what a text may consist of.
namespace belay::config {

/// 12, -12, +12, 010
bool is_integer(std::string_view text);
/// Of an integer: 010, -010
bool has_leading_zero(std::string_view text);
/// 1.5, .5, 5., 1e3
bool is_float(std::string_view text);
/// 0x10, 0o17, 0b1: EVerest reads them as 0.
bool is_prefixed_integer(std::string_view text);

/// The length of the UTF-8 sequence at `at` (RFC 3629); 0 if it is invalid.
std::size_t utf8_length(std::string_view text, std::size_t at);
bool is_utf8(std::string_view text);

} // namespace belay::config
