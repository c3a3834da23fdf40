// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/files.hpp"
#include "config/node.hpp"

#include <filesystem>
#include <optional>
#include <string>

/// YAML in the dialect of EVerest's parser (everest-docs/config.md §2).
namespace belay::config {

/// Reads and parses one file. Every problem is an error in `diagnostics`, and then nothing is returned. An empty file
/// is an empty mapping; any other top level than a mapping is an error. `name` is how diagnostics call the file.
std::optional<Node> load_yaml(const std::filesystem::path& path, Diagnostics& diagnostics,
                              Links links = Links::followed);
std::optional<Node> parse_yaml(std::string name, std::string text, Diagnostics& diagnostics);

} // namespace belay::config
