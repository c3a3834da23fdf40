// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "manager/options.hpp"

#include <tl/expected.hpp>

#include <string>

/// What bin/manager does without starting anything: `--check`, `--dump DIR`, `--dumpmanifests DIR`.
namespace belay::manager {

/// Writes DIR/config.json (module id → `module_config`) and DIR/NAME.json for each manifest in use; creates DIR. The
/// error is a sentence.
tl::expected<void, std::string> dump(const config::Configuration& configuration, const std::string& directory);

/// Writes DIR/NAME.yaml (JSON, as EVerest does) for each installed manifest. Returns the exit code.
int dump_manifests(const Options& options);

/// Prints each diagnostic to standard error.
void print(const config::Diagnostics& diagnostics);

/// Also looks at what only this machine can answer: users, executables, capabilities. Returns the exit code.
int check(const config::Configuration& configuration, const Options& options);

} // namespace belay::manager
