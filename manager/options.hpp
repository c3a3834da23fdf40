// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <string>
#include <vector>

namespace belay::manager {

/// The command line of bin/manager; the names are EVerest's.
struct Options
{
    config::LoadOptions load;
    bool check = false;
    std::string dump;           ///< directory; empty: none
    std::string dump_manifests; ///< directory; empty: none
    bool last_reset = false;
    std::string database; ///< the configuration database; empty: none
    bool reset_from_yaml = false;
    bool into_idle = false;
    bool idle_on_failure = false;
    bool recover_module_crashes = false;
    bool graceful_shutdown = false;
    bool retain_topics = false;
    std::string status_fifo;
    std::string trust_files_of;         ///< user name: their files count as root's (a developer's build tree)
    std::string timeline;               ///< file for one JSON object a line; empty: none
    bool reloaded = false;              ///< executed by a launcher, in its own place; launcher/reload.hpp
    bool judge = false;                 ///< executed by a launcher: only to say whether a reload would succeed
    std::vector<std::string> arguments; ///< all as they were given, but for these two
};

/// Parses. `--help` and `--version` print to standard output and end the process with 0, a mistake is explained on
/// standard error and ends it with 1, as EVerest's manager does.
Options parse_options(int argc, char** argv);

/// An option as --help, the manual page and the shells' completion show it.
struct OptionHelp
{
    std::vector<std::string> names; ///< with their dashes, short ones first
    std::string argument;           ///< DIR, FILE, …; empty: a flag
    std::string text;
};

struct CommandHelp
{
    const char* description;
    std::vector<OptionHelp> options; ///< all but the launcher's
    std::string examples;            ///< a line with a command, then indented ones that explain it
    std::string notes;               ///< signals, exit codes, environment
};
CommandHelp command_help();

} // namespace belay::manager
