// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "manager/parameter_store.hpp"
#include "manager/sqlite.hpp"

#include <filesystem>
#include <optional>
#include <string>

/// EVerest's configuration database (config.md §11): what `--db` names. Opened by EVerest's manager and by this one in
/// turn, or by everest-config-tool meanwhile: the same schema, WAL mode, and the slot that is marked for the boot.
/// Errors are sentences without the file's name.
namespace belay::manager {

class Database
{
public:
    template <typename Value>
    using Result = Sqlite::Result<Value>;

    /// Nothing if there is no such file, or an empty one. An older schema is brought up to date. Where the user of this
    /// process may not write, it is only read.
    static Result<std::optional<Database>> open_existing(const std::filesystem::path& file,
                                                         const std::filesystem::path& migrations);

    /// To write; makes the file, its directories and its tables where they are missing.
    static Result<Database> open(const std::filesystem::path& file, const std::filesystem::path& migrations);

    /// What the slot for the boot holds, in the form of the configuration file's `active_modules`; nothing if that slot
    /// is empty.
    Result<std::optional<nlohmann::json>> read_modules();

    /// Puts the modules of `configuration` into the slot for the boot in place of what it held, all or nothing.
    Result<void> replace_modules(const config::Configuration& configuration);

    /// Puts values into the slot for the boot, all or nothing.
    Result<void> write_values(std::span<const Setting> settings);

    /// Whether somebody has put another file in its place: what is written to this one is lost.
    [[nodiscard]] bool moved() const { return connection_.moved(); }

private:
    Database(Sqlite connection, int slot) : connection_(std::move(connection)), slot_(slot) {}

    static Result<Database> select_slot(Sqlite connection);
    Result<void> must_stay_readable();

    Sqlite connection_;
    int slot_; ///< stays: what is marked later is for the next boot
};

} // namespace belay::manager
