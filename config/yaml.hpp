// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/files.hpp"
#include "config/node.hpp"

#include <filesystem>
#include <optional>
#include <string>

/// YAML, as EVerest's parser reads it or strictly.
namespace belay::config {

/// What becomes of text that can be taken in more than one way.
enum class Dialect
{
    everest, ///< what EVerest takes it for, with a warning; integers have 32 bits (everest-docs/config.md §2)
    strict,  ///< an error; integers have 64 bits
};

/// Reads and parses one file. Every problem is an error in `diagnostics`, and then nothing is returned. An empty file
/// is an empty mapping; any other top level than a mapping is an error. `name` is how diagnostics call the file.
std::optional<Node> load_yaml(const std::filesystem::path& path, Diagnostics& diagnostics,
                              Links links = Links::followed, Dialect dialect = Dialect::everest);
std::optional<Node> parse_yaml(std::string name, std::string text, Diagnostics& diagnostics,
                               Dialect dialect = Dialect::everest);

} // namespace belay::config
