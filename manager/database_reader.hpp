// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/plan.hpp"

#include <filesystem>

namespace belay::manager {

/// Reads the database `file` in a child that becomes `identity` first, as the manager does (launcher/stages.hpp), and
/// must be done within 15 s and 16 MiB. What it says is valid JSON, and no more is known of it. Must be called in a
/// process without threads. The error is a sentence without the file's name.
tl::expected<config::StoredModules, std::string> read_database(const std::filesystem::path& file,
                                                               const std::filesystem::path& migrations,
                                                               const launcher::ProcessPlan& identity);

} // namespace belay::manager
