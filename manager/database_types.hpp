// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

/// The numbers of the tables DATATYPE and MUTABILITY, and what the wire calls them.
namespace belay::manager {

constexpr std::array<std::string_view, 5> datatypes{"unknown", "string", "number", "integer", "bool"};
constexpr std::array<std::string_view, 3> mutabilities{"ReadOnly", "ReadWrite", "WriteOnly"};

/// "unknown" for a number that is none.
[[nodiscard]] constexpr std::string_view datatype_name(int number)
{
    return datatypes.at(number > 0 && number < static_cast<int>(datatypes.size()) ? static_cast<std::size_t>(number)
                                                                                  : 0);
}

/// The place of `name` in one of these tables; 0 if it is not there.
[[nodiscard]] constexpr int number_of(std::string_view name, const auto& table)
{
    const auto found = std::ranges::find(table, name);
    return found == table.end() ? 0 : static_cast<int>(found - table.begin());
}

} // namespace belay::manager
