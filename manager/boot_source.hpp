// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/options.hpp"

namespace belay::manager {

/// Where the modules come from (config.md §11): without `--db` the file and its overlay; with it the database, or the
/// file if the database holds nothing or `--reset-from-yaml` is given. Makes `options.database` absolute, and gives
/// `options.load` the way to read it:
///
/// SQLite is not for root. It reads what the manager's user could have written, and writes beside the file; so a child
/// that is that user for good does it, and hands what it found over through a pipe, to be validated. Where the manager
/// stays root, or no file of root's can be compared with, the database must be one that only root can write.
void choose_source(Options& options);

} // namespace belay::manager
