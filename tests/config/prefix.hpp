// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "tests/config/schemas.hpp"
#include "tests/temporary_directory.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

/// A small installed prefix in a temporary directory: one module, `Thing`, whose parameter `level` is mandatory.
class Prefix : public TemporaryDirectory
{
public:
    Prefix() : TemporaryDirectory("config")
    {
        for (const auto* directory : {"interfaces", "types", "errors", "www"})
            std::filesystem::create_directories(path / "share/everest" / directory);
        for (const auto& [schema, text] : schema_files)
            write("share/everest/schemas/" + std::string{schema} + ".yaml", std::string{text});
        write("etc/everest/default_logging.cfg", "");
        write("share/everest/interfaces/empty.yaml", "description: nothing\n");
        write("share/everest/interfaces/other.yaml", "description: another thing\n");
        write("share/everest/interfaces/thing.yaml", thing_interface);
        write("share/everest/errors/thing.yaml", thing_errors);
        write("share/everest/types/thing.yaml", thing_types);
        write("libexec/everest/modules/Thing/manifest.yaml", thing_manifest);
        write("libexec/everest/modules/Thing/Thing", "#!/bin/sh -e\nexit 0\n");
        std::filesystem::permissions(path / "libexec/everest/modules/Thing/Thing", std::filesystem::perms{0755});
    }

    void write(const std::filesystem::path& file, const std::string& text) const
    {
        std::filesystem::create_directories((path / file).parent_path());
        std::filesystem::remove(path / file); // some file systems wait for the disk when a file is overwritten
        std::ofstream{path / file} << text;
    }

    /// Writes `text` as the configuration and loads it; `options` but for the paths.
    tl::expected<belay::config::Configuration, belay::config::Invalid> load(const std::string& text,
                                                                            belay::config::LoadOptions options = {})
    {
        write("etc/everest/c.yaml", text);
        options.config = (path / "etc/everest/c.yaml").string();
        return load_as(std::move(options));
    }

    /// Loads `options.config`.
    tl::expected<belay::config::Configuration, belay::config::Invalid> load_as(belay::config::LoadOptions options)
    {
        options.prefix = path.string();
        diagnostics = {};
        return belay::config::load(options, diagnostics);
    }

    [[nodiscard]] std::string text() const
    {
        std::string result;
        for (const auto& item : diagnostics.all())
            result += render(item, false) + '\n';
        return result;
    }

    static constexpr const char* thing_interface = R"(description: a thing
vars:
  power: {type: number, description: how much}
cmds:
  switch_on:
    description: turn it on
    arguments:
      when: {type: string, description: the time}
    result: {type: boolean, description: whether it did}
errors:
  - reference: /errors/thing
)";
    static constexpr const char* thing_errors = R"(description: what goes wrong
errors:
  - {name: Burnt, description: it burnt}
  - {name: Wet, description: it got wet}
)";
    static constexpr const char* thing_types = R"(description: types of things
types:
  Colour: {type: string, description: how it looks, enum: [red, green]}
)";
    static constexpr const char* thing_manifest = R"(description: a thing
config:
  level: {type: number, description: how high, minimum: 1}
provides:
  main: {interface: thing, description: it, config: {size: {type: integer, description: how big, default: 3}}}
requires:
  other: {interface: thing, min_connections: 0, max_connections: 1}
metadata: {license: 'https://opensource.org/licenses/Apache-2.0', authors: [The authors of the tests]}
)";

    belay::config::Diagnostics diagnostics;
};
