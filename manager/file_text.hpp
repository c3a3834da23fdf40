// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

namespace belay::manager {

/// What is in a file of the kernel's or of our own; empty if it cannot be read.
[[nodiscard]] std::string text_of(const std::filesystem::path& file);

} // namespace belay::manager
