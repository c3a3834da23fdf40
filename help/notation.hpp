// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/belay_help.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace belay::help {

/// The notation of config/belay_help.cpp, taken apart.
struct Notation
{
    enum class Kind : std::uint8_t
    {
        mapping,
        variables,
        boolean,
        seconds,
        timeout,
        user,
        name,
        device,
        names,
        paths,
        ports,
        capabilities,
        integer,
        integers,
        number,
        bytes,
        percent,
        words,
    };
    Kind kind = Kind::words;
    bool pair = false;              ///< or "soft:hard"
    std::vector<std::string> words; ///< of `words`, and what may be written instead of a mapping
    std::optional<std::pair<int, int>> range;
};

Notation parse(const config::KeyHelp& key);
std::string describe(Notation::Kind kind);

} // namespace belay::help
