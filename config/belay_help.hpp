// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

namespace belay::config {

/// What is said of a key of belay.yaml in its manual page and in the schema for editors.
struct KeyHelp
{
    const char* key;   ///< "modules.restart.policy": what is in between, the id of a module, is left out
    const char* value; ///< a notation, in belay_help.cpp
    const char* text;  ///< Sentences. `Words` in backquotes are to be written so.
};

/// In the order in which they are to be read; a mapping comes before its keys.
std::span<const KeyHelp> belay_yaml_help();

/// Every key that is read, as in KeyHelp, sorted. The two are the same: tests/config.
std::vector<std::string> belay_yaml_keys();

} // namespace belay::config
