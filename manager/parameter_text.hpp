// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <string_view>

/// Values of parameters as text, as a `Set` request and the database have them: wire-protocol.md §4.3.
namespace belay::manager {

enum class Strictness
{
    whole,  ///< all of the text must be of the type
    prefix, ///< what follows a number counts for nothing, as with EVerest: for what was stored by others
};

/// `datatype` is the wire's: string, number, integer or bool. Integers have 32 bits, numbers are finite; a boolean is
/// true if it is `true` or `1`. Nothing if the text cannot be of that type, or there is no such type.
[[nodiscard]] std::optional<nlohmann::json> parse_value(std::string_view text, std::string_view datatype,
                                                        Strictness strictness);

/// The inverse.
[[nodiscard]] std::string value_text(const nlohmann::json& value);

} // namespace belay::manager
