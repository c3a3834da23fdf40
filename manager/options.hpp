// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <tl/expected.hpp>

#include <string>
#include <vector>

#include <sys/types.h>

namespace belay::manager {

/// The command line of bin/manager; the names are EVerest's.
struct Options
{
    config::LoadOptions load;
    bool check = false;
    bool check_start = false;
    pid_t reload_of = 0;        ///< with `check_start`: the launcher that systemd is to have reload; 0: none
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

    [[nodiscard]] bool starts_nothing() const
    {
        return check || check_start || judge || last_reset || !dump_manifests.empty();
    }
};

/// Parses. `--help` and `--version` print to standard output and end the process. The error is a sentence.
tl::expected<Options, std::string> parse_options(int argc, char** argv);

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
