// SPDX-License-Identifier: Apache-2.0
#include "manager/database_schema.hpp"

#include "config/files.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <span>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

/// EVerest's manager must find the tables, columns and keys of its own migrations.
constexpr const char* schema = R"(
CREATE TABLE MUTABILITY (ID INT PRIMARY KEY, MUTABILITY TEXT);
INSERT INTO MUTABILITY VALUES (0, 'ReadOnly'), (1, 'ReadWrite'), (2, 'WriteOnly');
CREATE TABLE DATATYPE (ID INT PRIMARY KEY, DATATYPE TEXT);
INSERT INTO DATATYPE VALUES (0, 'unknown'), (1, 'string'), (2, 'decimal'), (3, 'integer'), (4, 'boolean');

CREATE TABLE CONFIG (ID INTEGER PRIMARY KEY);
CREATE TABLE CONFIG_META (
    ID INTEGER PRIMARY KEY REFERENCES CONFIG (ID) ON DELETE CASCADE,
    LAST_UPDATED TEXT NOT NULL,
    CONFIG_DUMP TEXT NOT NULL,
    CONFIG_FILE_PATH TEXT,
    DESCRIPTION TEXT);
CREATE TABLE BOOT_CONFIG (
    ID INTEGER PRIMARY KEY CHECK (ID = 0),
    NEXT_BOOT_SLOT_ID INTEGER NOT NULL REFERENCES CONFIG (ID) ON DELETE RESTRICT);

CREATE TABLE MODULE (
    CONFIG_ID INTEGER NOT NULL REFERENCES CONFIG (ID) ON DELETE CASCADE,
    ID TEXT NOT NULL,
    NAME TEXT NOT NULL,
    STANDALONE INTEGER,
    CAPABILITIES TEXT,
    PRIMARY KEY (CONFIG_ID, ID));
CREATE TABLE MODULE_FULFILLMENT (
    CONFIG_ID INTEGER NOT NULL,
    MODULE_ID TEXT NOT NULL,
    REQUIREMENT_NAME TEXT NOT NULL,
    REQUIREMENT_INDEX INTEGER NOT NULL,
    IMPLEMENTATION_ID TEXT NOT NULL,
    IMPLEMENTATION_MODULE_ID TEXT NOT NULL,
    PRIMARY KEY (CONFIG_ID, MODULE_ID, REQUIREMENT_NAME, REQUIREMENT_INDEX),
    FOREIGN KEY (CONFIG_ID, MODULE_ID) REFERENCES MODULE (CONFIG_ID, ID) ON DELETE CASCADE,
    FOREIGN KEY (CONFIG_ID, IMPLEMENTATION_MODULE_ID) REFERENCES MODULE (CONFIG_ID, ID) ON DELETE CASCADE);
CREATE TABLE MODULE_TIER_MAPPING (
    CONFIG_ID INTEGER NOT NULL,
    MODULE_ID TEXT NOT NULL,
    IMPLEMENTATION_ID TEXT NOT NULL,
    EVSE_ID INTEGER NOT NULL,
    CONNECTOR_ID INTEGER,
    PRIMARY KEY (CONFIG_ID, MODULE_ID, IMPLEMENTATION_ID),
    FOREIGN KEY (CONFIG_ID, MODULE_ID) REFERENCES MODULE (CONFIG_ID, ID) ON DELETE CASCADE);
CREATE TABLE CONFIGURATION (
    CONFIG_ID INTEGER NOT NULL,
    PARAMETER_NAME TEXT NOT NULL,
    MODULE_ID TEXT NOT NULL,
    MODULE_IMPLEMENTATION_ID TEXT NOT NULL,
    VALUE TEXT NOT NULL,
    MUTABILITY_ID INTEGER NOT NULL,
    DATATYPE_ID INTEGER NOT NULL,
    UNIT TEXT,
    SOURCE TEXT,
    PRIMARY KEY (CONFIG_ID, MODULE_ID, PARAMETER_NAME, MODULE_IMPLEMENTATION_ID),
    FOREIGN KEY (CONFIG_ID, MODULE_ID) REFERENCES MODULE (CONFIG_ID, ID) ON DELETE CASCADE,
    FOREIGN KEY (DATATYPE_ID) REFERENCES DATATYPE (ID) ON DELETE RESTRICT,
    FOREIGN KEY (MUTABILITY_ID) REFERENCES MUTABILITY (ID) ON DELETE RESTRICT);
CREATE TABLE CONFIG_ACCESS (
    CONFIG_ID INTEGER NOT NULL,
    MODULE_ID TEXT NOT NULL,
    ALLOW_GLOBAL_READ INTEGER,
    ALLOW_GLOBAL_WRITE INTEGER,
    ALLOW_SET_READ_ONLY INTEGER,
    PRIMARY KEY (CONFIG_ID, MODULE_ID),
    FOREIGN KEY (CONFIG_ID, MODULE_ID) REFERENCES MODULE (CONFIG_ID, ID) ON DELETE CASCADE);
CREATE TABLE MODULE_CONFIG_ACCESS (
    CONFIG_ID INTEGER NOT NULL,
    MODULE_ID TEXT NOT NULL,
    OTHER_MODULE_ID TEXT NOT NULL,
    ALLOW_READ INTEGER,
    ALLOW_WRITE INTEGER,
    ALLOW_SET_READ_ONLY INTEGER,
    PRIMARY KEY (CONFIG_ID, MODULE_ID, OTHER_MODULE_ID),
    FOREIGN KEY (CONFIG_ID, MODULE_ID) REFERENCES MODULE (CONFIG_ID, ID) ON DELETE CASCADE,
    FOREIGN KEY (CONFIG_ID, OTHER_MODULE_ID) REFERENCES MODULE (CONFIG_ID, ID) ON DELETE CASCADE);
)";

constexpr std::array current_tables{"CONFIG",
                                    "CONFIG_META",
                                    "BOOT_CONFIG",
                                    "MODULE",
                                    "CONFIGURATION",
                                    "MODULE_FULFILLMENT",
                                    "MODULE_TIER_MAPPING",
                                    "CONFIG_ACCESS",
                                    "MODULE_CONFIG_ACCESS"};
constexpr std::array older_tables{"SETTING", "CONFIG_META", "MODULE", "CONFIGURATION", "MODULE_FULFILLMENT"};

Sqlite::Result<void> set_version(Sqlite& database)
{
    return database.run_script("PRAGMA user_version = " + std::to_string(schema_version));
}

Sqlite::Result<void> require_tables(Sqlite& database, std::span<const char* const> tables)
{
    for (const auto* table : tables) {
        const auto found =
            database.number("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", {table});
        if (!found)
            return tl::unexpected(found.error());
        if (*found == 0)
            return tl::unexpected(std::string{"is not a configuration database of EVerest: it has no table "} + table +
                                  "; check --db");
    }
    return {};
}

Sqlite::Result<void> check_integrity(Sqlite& database)
{
    std::string verdict;
    auto done = database.run("PRAGMA quick_check(1)", {}, [&](const auto& row) { verdict = row.text(0); });
    if (done && verdict != "ok")
        return tl::unexpected("is damaged (" + verdict.substr(0, 200) +
                              "); restore it, or move it away, and a new one is made from --config");
    return done;
}

/// "3_up-access_config.sql" → 3; 0 for anything else.
int version_of(const fs::path& script)
{
    const auto name = script.filename().string();
    const auto digits = std::min(name.find_first_not_of("0123456789"), name.size());
    constexpr std::size_t longest = 4;
    if (digits == 0 || digits > longest || !name.substr(digits).starts_with("_up") || script.extension() != ".sql")
        return 0;
    return std::stoi(name.substr(0, digits));
}

Sqlite::Result<std::map<int, fs::path>> find_scripts(const fs::path& migrations)
{
    std::map<int, fs::path> result;
    std::error_code error;
    for (fs::directory_iterator at{migrations, error}; !error && at != fs::directory_iterator{}; at.increment(error))
        result.emplace(version_of(at->path()), at->path());
    if (error)
        return tl::unexpected("is of an older EVerest, and the scripts to bring it up to date cannot be read: " +
                              migrations.string() + ": " + error.message());
    return result;
}

Sqlite::Result<void> run_scripts(Sqlite& database, const std::map<int, fs::path>& scripts, int from)
{
    for (int version = from + 1; version <= schema_version; ++version) {
        const auto script = scripts.find(version);
        if (script == scripts.end())
            return tl::unexpected("is of an older EVerest, and the script to bring it to version " +
                                  std::to_string(version) + " is missing; install EVerest's share/everest/migrations");
        const auto text = config::read_file(script->second);
        if (!text)
            return tl::unexpected("is of an older EVerest: " + script->second.string() + ' ' + text.error());
        if (auto done = database.run_script(*text); !done)
            return tl::unexpected("is of an older EVerest: " + script->second.string() + ": " + done.error());
    }
    return {};
}

} // namespace

Sqlite::Result<SchemaState> examine_schema(Sqlite& database)
{
    const auto version = database.number("PRAGMA user_version");
    const auto tables = version ? database.number("SELECT count(*) FROM sqlite_master") : version;
    if (!tables)
        return tl::unexpected(tables.error());
    if (*version == 0 && *tables == 0)
        return SchemaState::none;
    if (*version > schema_version)
        return tl::unexpected("is of a newer EVerest (schema " + std::to_string(*version) + ", this manager knows " +
                              std::to_string(schema_version) + "); update the manager, or use another file");
    if (*version <= 0)
        return tl::unexpected(std::string{"is not a configuration database of EVerest; check --db"});
    const bool current = *version == schema_version;
    auto checked = require_tables(database, current ? std::span<const char* const>{current_tables}
                                                    : std::span<const char* const>{older_tables});
    if (checked)
        checked = check_integrity(database);
    if (!checked)
        return tl::unexpected(checked.error());
    return current ? SchemaState::current : SchemaState::older;
}

Sqlite::Result<void> create_schema(Sqlite& database)
{
    return in_transaction(database, [&] {
        auto done = database.run_script(schema);
        return done ? set_version(database) : done;
    });
}

Sqlite::Result<void> migrate_schema(Sqlite& database, const fs::path& migrations)
{
    const auto scripts = find_scripts(migrations);
    if (!scripts)
        return tl::unexpected(scripts.error());
    // The scripts drop tables that others refer to. This has no effect inside of a transaction.
    if (auto done = database.run("PRAGMA foreign_keys = OFF"); !done)
        return done;
    return in_transaction(database, [&]() -> Sqlite::Result<void> {
        const auto version = database.number("PRAGMA user_version"); // somebody else may have been faster
        if (!version)
            return tl::unexpected(version.error());
        auto done = run_scripts(database, *scripts, *version);
        return done ? set_version(database) : done;
    });
}

} // namespace belay::manager
