// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <tl/expected.hpp>

#include <string>
#include <vector>

#include <sys/types.h>

namespace belay::manager {

/// The trust rule (launcher/trust.hpp) for every file that had a say in `plan`: the configuration's sources, the
/// launcher (unless empty), what a reload would execute, and the modules' programs, what is in the directories of the
/// modules that are started, and in the directories from which the linker, Python and Node load EVerest's libraries
/// into them. One sentence for each that breaks it.
std::vector<std::string> untrusted_files(const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                                         const std::string& launcher);

/// Whose files count as root's: root's own if `user` (`--trust-files-of`) is empty, else also that user's, which is
/// announced loudly. The error is a sentence.
tl::expected<uid_t, std::string> trusted_owner(const std::string& user);

} // namespace belay::manager
