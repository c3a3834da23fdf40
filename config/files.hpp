// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tl/expected.hpp>

#include <filesystem>
#include <string>

namespace belay::config {

constexpr std::size_t largest_file = std::size_t{16} * 1024 * 1024;

/// The content of a regular file of at most `largest_file` bytes. Never blocks (a FIFO is refused). The error is a
/// sentence with cause and remedy.
tl::expected<std::string, std::string> read_file(const std::filesystem::path& path);

} // namespace belay::config
