// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tl/expected.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace belay::config {

constexpr std::size_t largest_file = std::size_t{16} * 1024 * 1024;

/// Whoever may write into a directory could place a link there to what only root can read, and find it in the messages.
enum class Links
{
    followed,
    refused
};

/// The content of a regular file of at most `largest_file` bytes. Never blocks (a FIFO is refused). The error is a
/// sentence with cause and remedy.
tl::expected<std::string, std::string> read_file(const std::filesystem::path& path, Links links = Links::followed);

/// Whether the directory has such an entry: also true for what cannot be read, such as a symbolic link in a circle.
bool entry_exists(const std::filesystem::path& path);

/// The directory on the way to `path` that this process may not search; empty if that is not why it is missing.
std::string closed_directory(const std::filesystem::path& path);

/// The names of the .yaml files in a directory, without the extension, sorted; empty if it cannot be read.
std::vector<std::string> stems(const std::filesystem::path& directory);

} // namespace belay::config
