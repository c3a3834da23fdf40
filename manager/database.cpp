// SPDX-License-Identifier: Apache-2.0
#include "manager/database.hpp"

#include "launcher/errno_text.hpp"
#include "manager/database_schema.hpp"
#include "manager/database_slot.hpp"

#include <cerrno>
#include <cstdint>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

bool may_write(const fs::path& path)
{
    return ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0;
}

/// SQLite keeps its log and its index beside the file.
Sqlite::Access possible_access(const fs::path& file)
{
    if (may_write(file) && may_write(file.parent_path()))
        return Sqlite::Access::read_write;
    std::error_code error;
    const auto unfinished = fs::file_size(file.string() + "-wal", error);
    return error || unfinished == 0 ? Sqlite::Access::immutable : Sqlite::Access::read_only;
}

/// Whether there is something to open.
Sqlite::Result<bool> look_at(const fs::path& file)
{
    struct stat status
    {};
    if (::stat(file.c_str(), &status) != 0) {
        if (errno == ENOENT)
            return false;
        return tl::unexpected(std::string{"cannot be opened: "} + errno_text(errno));
    }
    if (S_ISDIR(status.st_mode))
        return tl::unexpected(std::string{"is a directory; --db wants a file"});
    if (!S_ISREG(status.st_mode))
        return tl::unexpected(std::string{"is not a regular file; --db wants one"});
    const auto size = status.st_size;
    for (const auto* suffix : {"-journal", "-wal", "-shm"}) // SQLite would wait for the other end of a FIFO
        if (const auto path = file.string() + suffix; ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
            return tl::unexpected("has beside it " + path + ", which is not a regular file; remove that");
    return size > 0;
}

Sqlite::Result<void> prepare(Sqlite& connection, const fs::path& migrations)
{
    const auto state = examine_schema(connection);
    if (!state)
        return tl::unexpected(state.error());
    // As EVerest's manager: readers and the writer do not wait for each other.
    if (auto done = connection.run("PRAGMA journal_mode = WAL"); !done)
        return done;
    if (*state == SchemaState::none)
        return create_schema(connection);
    return *state == SchemaState::older ? migrate_schema(connection, migrations) : Sqlite::Result<void>{};
}

} // namespace

Database::Result<Database> Database::select_slot(Sqlite connection)
{
    // Durable when a statement returns, whatever SQLite was built with.
    auto done = connection.run_script("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    const auto slot = done ? connection.number("SELECT NEXT_BOOT_SLOT_ID FROM BOOT_CONFIG") : Result<int>{0};
    if (!done || !slot)
        return tl::unexpected(done ? slot.error() : done.error());
    return Database{std::move(connection), *slot};
}

Database::Result<std::optional<Database>> Database::open_existing(const fs::path& file, const fs::path& migrations)
{
    const auto there = look_at(file);
    if (!there)
        return tl::unexpected(there.error());
    if (!*there)
        return std::optional<Database>{};
    const auto access = possible_access(file);
    auto connection = Sqlite::open(file, access);
    if (!connection)
        return tl::unexpected(connection.error());
    const auto state = examine_schema(*connection);
    if (!state)
        return tl::unexpected(state.error());
    if (*state == SchemaState::none)
        return std::optional<Database>{};
    if (*state == SchemaState::older) {
        if (access != Sqlite::Access::read_write)
            return tl::unexpected(
                std::string{"is of an older EVerest, and must be writable for the user of the manager to be updated"});
        if (auto done = migrate_schema(*connection, migrations); !done)
            return tl::unexpected(done.error());
    }
    return select_slot(std::move(*connection)).map([](Database&& database) {
        return std::optional<Database>{std::move(database)};
    });
}

Database::Result<Database> Database::open(const fs::path& file, const fs::path& migrations)
{
    if (const auto there = look_at(file); !there)
        return tl::unexpected(there.error());
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    if (error)
        return tl::unexpected("its directory cannot be created: " + error.message());
    // SQLite would fall back to reading.
    for (const auto& path : {file, file.parent_path()})
        if (fs::exists(path, error) && !may_write(path))
            return tl::unexpected("cannot be written: " + path.string() + ": " + errno_text(errno) +
                                  "; the file and its directory must be writable for the user of the manager");
    auto connection = Sqlite::open(file, Sqlite::Access::create);
    if (!connection)
        return tl::unexpected(connection.error());
    if (auto done = prepare(*connection, migrations); !done)
        return tl::unexpected(done.error());
    // From now on the manager has others to serve.
    if (auto done = connection->run("PRAGMA busy_timeout = 1000"); !done)
        return tl::unexpected(done.error());
    return select_slot(std::move(*connection));
}

Database::Result<std::optional<nlohmann::json>> Database::read_modules()
{
    return read_slot(connection_, slot_);
}

Database::Result<void> Database::replace_modules(const config::Configuration& configuration)
{
    return in_transaction(connection_, [&] { return write_slot(connection_, slot_, configuration); });
}

/// The next start refuses more than 16 MB of JSON, in which a byte may become six.
Database::Result<void> Database::must_stay_readable()
{
    constexpr int most_bytes = 2'000'000;
    const auto too_many = connection_.number(
        "SELECT sum(length(CAST(VALUE AS BLOB))) > ? FROM CONFIGURATION WHERE CONFIG_ID = ?", {most_bytes, slot_});
    if (!too_many)
        return tl::unexpected(too_many.error());
    if (*too_many != 0)
        return tl::unexpected(std::string{"would hold more than 2 MB of values"});
    return {};
}

Database::Result<void> Database::write_values(std::span<const Setting> settings)
{
    return in_transaction(connection_, [&]() -> Result<void> {
        for (const auto& one : settings)
            if (auto done = write_value(connection_, slot_, one.parameter, one.characteristics, one.text); !done)
                return done;
        return must_stay_readable();
    });
}

} // namespace belay::manager
