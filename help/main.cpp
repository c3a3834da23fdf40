// SPDX-License-Identifier: Apache-2.0
//
// Runs while Belay is built: belay_help WHAT FILE writes it.
#include "help/pages.hpp"

#include <array>
#include <cstdio>
#include <exception>
#include <fstream>

namespace {

struct Page
{
    std::string_view name;
    void (*write)(std::ostream&);
};

constexpr std::array pages{
    Page{"manager.8", belay::help::write_manager_page},       Page{"launcher.8", belay::help::write_launcher_page},
    Page{"belay.yaml.5", belay::help::write_belay_yaml_page}, Page{"bash", belay::help::write_bash_completion},
    Page{"zsh", belay::help::write_zsh_completion},           Page{"schema", belay::help::write_schema},
};

} // namespace

int main(int argc, char** argv)
{
    try {
        for (const auto& page : pages)
            if (argc == 3 && page.name == argv[1]) {
                std::ofstream file{argv[2]};
                file.exceptions(std::ios::failbit | std::ios::badbit);
                page.write(file);
                file.close();
                return 0;
            }
        std::fputs("usage: belay_help manager.8|launcher.8|belay.yaml.5|bash|zsh|schema FILE\n", stderr);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "belay_help: %s\n", error.what());
    }
    return 1;
}
