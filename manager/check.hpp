// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/messages.hpp"
#include "manager/options.hpp"

#include <tl/expected.hpp>

#include <string>

/// What bin/manager does without starting anything: `--check`, `--check-start`, `--dump DIR`, `--dumpmanifests
/// DIR`.
namespace belay::manager {

/// Writes DIR/config.json (module id → `module_config`) and DIR/NAME.json for each manifest in use; creates DIR. The
/// error is a sentence.
tl::expected<void, std::string> dump(const config::Configuration& configuration, const std::string& directory);

/// Writes DIR/NAME.yaml (JSON, as EVerest does) for each installed manifest. Returns the exit code.
int dump_manifests(const Options& options);

/// Says on standard error why nothing is done, with "manager: " in front; in the journal with the MESSAGE_ID of
/// `message`. Returns 1.
int complain(const std::string& why, JournalMessage message = JournalMessage::start_refused);

/// Likewise what is no reason to stop, without a MESSAGE_ID.
void warn(const std::string& sentence);

/// Prints each diagnostic to standard error, or enters it into the journal: coloured on a terminal unless NO_COLOR is
/// set, paths below the working directory without it.
void print(const config::Diagnostics& diagnostics);

/// "3 errors, 1 warning"; "1 error".
std::string summary(const config::Diagnostics& diagnostics);

/// "charger.yaml:3: what is wrong"; empty without an error.
std::string first_error(const config::Diagnostics& diagnostics);

/// `--check`: also looks at what only this machine can answer: users, programs, the trust rule, capabilities, the
/// watchdog. What is missing here may be there on the charger: what a start would refuse is a warning. Dumps if asked
/// to and if valid. Returns the exit code. `diagnostics`: what loading found.
int check(const config::Configuration& configuration, const Options& options, config::Diagnostics diagnostics);

/// `--check-start`: likewise, and the exit code is 1 if this process could not start it.
int check_start(const config::Configuration& configuration, const Options& options, config::Diagnostics diagnostics);

} // namespace belay::manager
