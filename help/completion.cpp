// SPDX-License-Identifier: Apache-2.0
#include "help/pages.hpp"
#include "manager/options.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace belay::help {

namespace {

/// What follows an option, by the word that --help has for it.
struct Argument
{
    std::string_view name;
    const char* bash; ///< sets COMPREPLY for $cur
    const char* zsh;  ///< _arguments' action
};

constexpr std::array arguments{
    Argument{"DIR", "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\")", "_files -/"},
    Argument{"FILE", "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")", "_files"},
    Argument{"FIFO", "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")", "_files"},
    Argument{"USER", "mapfile -t COMPREPLY < <(compgen -u -- \"$cur\")", "_users"},
    Argument{"ID", ":", " "},
    Argument{"TOPIC", ":", " "},
};

const Argument& find(const manager::OptionHelp& option)
{
    const auto* found = std::ranges::find(arguments, option.argument, &Argument::name);
    if (found == arguments.end())
        throw std::runtime_error{"completion knows no argument `" + option.argument + "` of " + option.names.back()};
    return *found;
}

std::string join(const std::vector<std::string>& words, const char* separator)
{
    std::string result;
    for (const auto& word : words)
        result += (result.empty() ? "" : separator) + word;
    return result;
}

std::vector<std::string> names_with(const std::vector<manager::OptionHelp>& options, const Argument& argument)
{
    std::vector<std::string> result;
    for (const auto& option : options)
        if (!option.argument.empty() && &find(option) == &argument)
            result.insert(result.end(), option.names.begin(), option.names.end());
    return result;
}

/// In a description between square brackets, in single quotes.
std::string quoted(const std::string& text)
{
    std::string result;
    for (const char character : text) {
        if (character == '\'')
            result += "'\\'";
        else if (character == '[' || character == ']' || character == ':')
            result += '\\';
        result += character;
    }
    return result;
}

} // namespace

void write_bash_completion(std::ostream& out)
{
    const auto help = manager::command_help();
    out << "# SPDX-License-Identifier: Apache-2.0\n"
           "# bash completion for manager(8)\n"
           "_belay_manager()\n"
           "{\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
           "    COMPREPLY=()\n"
           "    # --config=FILE is three words to bash\n"
           "    if [[ $cur == = ]]; then\n"
           "        cur=\n"
           "    elif [[ $prev == = ]]; then\n"
           "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
           "    fi\n"
           "    case $prev in\n";
    for (const auto& argument : arguments)
        if (const auto names = names_with(help.options, argument); !names.empty())
            out << "    " << join(names, " | ") << ")\n        " << argument.bash << "\n        return\n        ;;\n";
    out << "    esac\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"";
    const char* space = "";
    for (const auto& option : help.options) {
        out << space << join(option.names, " ");
        space = " ";
    }
    out << "\" -- \"$cur\")\n"
           "} && complete -F _belay_manager manager\n";
}

void write_zsh_completion(std::ostream& out)
{
    out << "#compdef manager\n"
           "# SPDX-License-Identifier: Apache-2.0\n"
           "# zsh completion for manager(8)\n"
           "_arguments -s \\\n";
    for (const auto& option : manager::command_help().options) {
        const auto exclusive = '(' + join(option.names, " ") + ')';
        const auto names =
            option.names.size() == 1 ? "'" + exclusive : "'" + exclusive + "'{" + join(option.names, ",") + "}'";
        out << "    " << names << (option.names.size() == 1 ? option.names.front() : "") << '[' << quoted(option.text)
            << ']';
        if (!option.argument.empty())
            out << ':' << option.argument << ':' << find(option).zsh;
        out << "' \\\n";
    }
    out << "    && return 0\n";
}

} // namespace belay::help
