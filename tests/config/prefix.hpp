// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <stdlib.h>

/// A small installed prefix in a temporary directory, with permissive schema files.
class Prefix
{
public:
    Prefix()
    {
        std::string name = (std::filesystem::temp_directory_path() / "belay-config-XXXXXX").string();
        path = ::mkdtemp(name.data());
        for (const auto* directory : {"interfaces", "types", "errors", "www"})
            std::filesystem::create_directories(path / "share/everest" / directory);
        for (const auto* schema : {"manifest", "interface", "type", "error-declaration-list"})
            write("share/everest/schemas/" + std::string{schema} + ".yaml", "type: object\n");
        write("share/everest/schemas/config.yaml",
              "type: object\nadditionalProperties: false\nproperties:\n  settings: {type: object}\n"
              "  active_modules: {type: object}\n");
        write("etc/everest/default_logging.cfg", "");
        write("share/everest/interfaces/thing.yaml", "description: a thing\nvars: {}\ncmds: {}\n");
        write("libexec/everest/modules/Thing/manifest.yaml",
              "description: a thing\nconfig:\n  level: {type: number, description: lv, minimum: 1}\n"
              "provides:\n  main: {interface: thing, description: it}\n"
              "requires:\n  other: {interface: thing, min_connections: 0, max_connections: 1}\n");
        write("libexec/everest/modules/Thing/Thing", "#!/bin/sh -e\nexit 0\n");
        std::filesystem::permissions(path / "libexec/everest/modules/Thing/Thing", std::filesystem::perms{0755});
    }
    ~Prefix()
    {
        std::error_code error;
        std::filesystem::remove_all(path, error);
    }
    Prefix(const Prefix&) = delete;
    Prefix& operator=(const Prefix&) = delete;
    Prefix(Prefix&&) = delete;
    Prefix& operator=(Prefix&&) = delete;

    void write(const std::filesystem::path& file, const std::string& text) const
    {
        std::filesystem::create_directories((path / file).parent_path());
        std::ofstream{path / file} << text;
    }

    /// Writes `text` as the configuration and loads it.
    std::optional<belay::config::Configuration> load(const std::string& text)
    {
        write("etc/everest/c.yaml", text);
        belay::config::LoadOptions options;
        options.prefix = path.string();
        options.config = (path / "etc/everest/c.yaml").string();
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

    std::filesystem::path path;
    belay::config::Diagnostics diagnostics;
};
