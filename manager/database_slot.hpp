// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/database.hpp"

/// One configuration between the tables of the database and the forms of the manager.
namespace belay::manager {

/// Nothing if there is no such slot; see Database::read_modules().
Sqlite::Result<std::optional<nlohmann::json>> read_slot(Sqlite& database, int slot);

/// Inside of a transaction.
Sqlite::Result<void> write_slot(Sqlite& database, int slot, const config::Configuration& configuration);

Sqlite::Result<void> write_value(Sqlite& database, int slot, const ParameterName& parameter,
                                 const nlohmann::json& characteristics, const std::string& text);

} // namespace belay::manager
