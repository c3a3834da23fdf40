// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <tl/expected.hpp>

#include <cstddef>
#include <string_view>

/// Reading what others sent, and writing what they can read.
namespace belay::manager {

constexpr std::size_t largest_payload = std::size_t{1024} * 1024; ///< bytes
constexpr std::size_t deepest_nesting = 64;                       ///< objects and arrays in each other
constexpr std::size_t most_values = 100'000;                      ///< as in a configuration file

/// Any byte sequence is survived, without exceptions and in bounded memory and stack. The error is why not.
tl::expected<nlohmann::json, std::string_view> parse_untrusted(std::string_view bytes,
                                                               std::size_t largest = largest_payload);

/// The member; null if there is none.
[[nodiscard]] const nlohmann::json& member(const nlohmann::json& object, std::string_view key);

/// One line; what is not UTF-8 is replaced.
std::string serialize(const nlohmann::json& value);

/// The framework's envelope, wire-protocol.md §1.1. `type` is a plain word.
std::string envelope(std::string_view type, const nlohmann::json& data);

} // namespace belay::manager
