// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/sqlite.hpp"

#include <filesystem>

/// The schema of EVerest's configuration database, version 4 (config.md §11). A database may hold several
/// configurations, each in a numbered slot.
namespace belay::manager {

constexpr int schema_version = 4;

enum class SchemaState
{
    none, ///< an empty file
    current,
    older, ///< of an EVerest before 2026.10
};

/// Looks at a database without changing it. What is damaged, newer, or not EVerest's is an error.
Sqlite::Result<SchemaState> examine_schema(Sqlite& database);

/// Makes the tables of an empty database, in one transaction.
Sqlite::Result<void> create_schema(Sqlite& database);

/// Brings an older one to this version with EVerest's own scripts in `migrations`, in one transaction.
Sqlite::Result<void> migrate_schema(Sqlite& database, const std::filesystem::path& migrations);

} // namespace belay::manager
