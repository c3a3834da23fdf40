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
    Argument{"CONFIG",
             "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"; "
             "compgen -W \"$(_belay_manager_names \"$1\")\" -- \"$cur\")",
             "_belay_manager_configs"},
    Argument{"FILE", "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")", "_files"},
    Argument{"FIFO", "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")", "_files"},
    Argument{"USER", "mapfile -t COMPREPLY < <(compgen -u -- \"$cur\")", "_users"},
    Argument{"ID", "mapfile -t COMPREPLY < <(compgen -W \"$(_belay_manager_ids \"$1\")\" -- \"$cur\")",
             "_belay_manager_ids"},
    Argument{"TOPIC", ":", " "},
};

constexpr const Argument& of_ids = arguments[5];
static_assert(of_ids.name == "ID");

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

/// Where configurations are, and what ids they have, as config/settings.cpp has it. belay.yaml is none.
constexpr const char* bash_functions = R"shell(
# the value that was given to one of these options
_belay_manager_value()
{
    local i name value=
    for ((i = 1; i < COMP_CWORD; i++)); do
        for name; do
            if [[ ${COMP_WORDS[i]} == "$name" ]]; then
                value=${COMP_WORDS[i + 1]}
                [[ $value != = ]] || value=${COMP_WORDS[i + 2]}
            fi
        done
    done
    printf '%s\n' "${value/#\~\//$HOME/}"
}

# the directory of configurations, by default that of this program's prefix
_belay_manager_directory()
{
    local program prefix
    prefix=$(_belay_manager_value --prefix)
    prefix=${prefix%/}
    if [[ -z $prefix ]]; then
        program=$(type -P -- "$1") && program=$(readlink -f -- "$program") && prefix=${program%/*/*}
    fi
    printf '%s/etc/everest\n' "${prefix%/usr}"
}

_belay_manager_names()
{
    local file
    for file in "$(_belay_manager_directory "$1")"/*.yaml; do
        file=${file##*/}
        case ${file%.yaml} in '*' | belay) ;; *) printf '%s\n' "${file%.yaml}" ;; esac
    done
}

# the keys two spaces below active_modules
_belay_manager_ids()
{
    local config
    config=$(_belay_manager_value --config --conf)
    [[ -e $config ]] || config=$(_belay_manager_directory "$1")/${config:-default}.yaml
    sed -n '/^active_modules:/,/^[^ #]/s/^  \([A-Za-z_][A-Za-z0-9_.-]*\):.*/\1/p' "$config" 2>/dev/null
}
)shell";

constexpr const char* zsh_functions = R"shell(
# the directory of configurations, by default that of this program's prefix
_belay_manager_directory() {
    local prefix=${opt_args[--prefix]:-${commands[manager]:A:h:h}}
    prefix=${~prefix%/}
    print -r -- ${prefix%/usr}/etc/everest
}

_belay_manager_configs() {
    local -a names=("$(_belay_manager_directory)"/*.yaml(N:t:r))
    names=(${names:#belay})
    _alternative 'names:configuration:compadd -a names' 'files:file:_files'
}

# the keys two spaces below active_modules
_belay_manager_ids() {
    local config=${opt_args[--config]:-${opt_args[--conf]:-default}}
    config=${~config}
    [[ -e $config ]] || config="$(_belay_manager_directory)/$config.yaml"
    local -a ids=(
        ${(f)"$(sed -n '/^active_modules:/,/^[^ #]/s/^  \([A-Za-z_][A-Za-z0-9_.-]*\):.*/\1/p' $config 2>/dev/null)"}
    )
    local expl
    _wanted ids expl ID compadd -a ids
}

)shell";

void write_bash_completion(std::ostream& out)
{
    const auto help = manager::command_help();
    out << "# SPDX-License-Identifier: Apache-2.0\n"
           "# bash completion for manager(8)\n"
        << bash_functions
        << "\n"
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
           "    # several ids may follow one option\n"
           "    local at=$((COMP_CWORD - 1))\n"
           "    while [[ $cur != -* && ${COMP_WORDS[at]} != -* && at -gt 1 ]]; do\n"
           "        at=$((at - 1))\n"
           "    done\n"
           "    case ${COMP_WORDS[at]} in "
        << join(names_with(help.options, of_ids), " | ")
        << ") prev=${COMP_WORDS[at]} ;; esac\n"
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
        << zsh_functions << "_arguments -s \\\n";
    for (const auto& option : manager::command_help().options) {
        const auto* argument = option.argument.empty() ? nullptr : &find(option);
        const bool repeated = argument == &of_ids;
        auto forms = option.names;
        for (auto& form : forms) // --config FILE and --config=FILE
            if (argument != nullptr && form.starts_with("--"))
                form += '=';
        const auto before = '\'' + (repeated ? "*" : '(' + join(option.names, " ") + ')');
        out << "    " << (forms.size() == 1 ? before + forms.front() : before + "'{" + join(forms, ",") + "}'") << '['
            << quoted(option.text) << ']';
        if (argument != nullptr)
            out << ':' << option.argument << ':' << argument->zsh;
        out << "' \\\n";
    }
    out << "    '*:" << of_ids.name << ':' << of_ids.zsh << "' \\\n    && return 0\n";
}

} // namespace belay::help
