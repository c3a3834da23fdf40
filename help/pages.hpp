// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ostream>
#include <string>
#include <string_view>

/// What users read and what their shells and editors know, each written from the manager's own tables. Anything that
/// the tables have and these do not understand is an exception, and so fails the build.
namespace belay::help {

void write_manager_page(std::ostream& out);    ///< manager(8), in man(7)'s macros
void write_launcher_page(std::ostream& out);   ///< launcher(8)
void write_belay_yaml_page(std::ostream& out); ///< belay.yaml(5)
void write_bash_completion(std::ostream& out);
void write_zsh_completion(std::ostream& out);
void write_schema(std::ostream& out); ///< JSON Schema, draft 7

/// Text as roff: nothing in it is a request or an escape; `words` in backquotes are bold, --options too.
std::string roff(std::string_view text);

/// The title, and the NAME section.
void begin_page(std::ostream& out, const char* name, const char* section, const char* what);

} // namespace belay::help
