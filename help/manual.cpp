// SPDX-License-Identifier: Apache-2.0
#include "help/pages.hpp"
#include "launcher/stages.hpp"
#include "manager/options.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace belay::help {

namespace {

/// What roff would take for its own: `\`, a leading `.` or `'`; and hyphens that are to be typed.
std::string escaped(char character)
{
    switch (character) {
    case '\\':
        return "\\e";
    case '-':
        return "\\-";
    case '\'':
        return "\\(aq";
    case '`':
        return "\\(ga";
    case '^':
        return "\\(ha";
    case '~':
        return "\\(ti";
    case '"':
        return "\\(dq";
    default:
        return std::string(1, character);
    }
}

} // namespace

void begin_page(std::ostream& out, const char* name, const char* section, const char* what)
{
    std::string title = name;
    std::ranges::transform(title, title.begin(), [](unsigned char letter) { return std::toupper(letter); });
    out << ".\\\" SPDX-License-Identifier: Apache-2.0\n"
        << ".TH " << title << ' ' << section << " " BELAY_DATE " \"belay " BELAY_VERSION "\" EVerest\n"
        << ".SH NAME\n"
        << roff(name) << " \\- " << roff(what) << '\n';
}

namespace {

void section(std::ostream& out, const char* title)
{
    out << ".SH " << title << '\n';
}

/// Lines of two spaces are commands, of six what they do.
void write_examples(std::ostream& out, const std::string& text)
{
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
        const auto indent = line.find_first_not_of(' ');
        if (indent == 2)
            out << ".TP\n.B " << roff(line.substr(indent)) << '\n';
        else if (indent != line.npos)
            out << roff(line.substr(indent)) << '\n';
    }
}

void write_options(std::ostream& out, const std::vector<manager::OptionHelp>& options)
{
    for (const auto& option : options) {
        out << ".TP\n";
        const char* between = "";
        for (const auto& name : option.names) {
            out << between << "\\fB" << roff(name) << "\\fR";
            between = ", ";
        }
        if (!option.argument.empty())
            out << " \\fI" << roff(option.argument) << "\\fR";
        out << '\n' << roff(option.text) << ".\n";
    }
}

} // namespace

std::string roff(std::string_view text)
{
    std::string result;
    bool bold = false;
    for (const char character : text) {
        const bool line_starts = result.empty() || result.back() == '\n';
        if (character == '`') {
            bold = !bold;
            result += bold ? "\\fB" : "\\fR";
        } else {
            if (line_starts && (character == '.' || character == '\''))
                result += "\\&";
            result += escaped(character);
        }
    }
    return result;
}

void write_manager_page(std::ostream& out)
{
    const auto help = manager::command_help();
    begin_page(out, "manager", "8", "start and supervise the modules of an EVerest charger");
    section(out, "SYNOPSIS");
    out << ".B manager\n[\\fIOPTION\\fR]...\n";
    section(out, "DESCRIPTION");
    out << roff(help.description) << "\n.PP\n"
        << roff("Started as root, it becomes launcher(8), which keeps root, the process id, and of the capabilities "
                "what the "
                "modules take; its child gives up everything and is the manager. Without root both run as who started "
                "them.")
        << '\n';
    section(out, "OPTIONS");
    write_options(out, help.options);
    section(out, "NOTES");
    out << roff(help.notes) << '\n';
    section(out, "FILES");
    out << ".TP\n.I /etc/everest/default.yaml\n"
        << roff("EVerest's configuration, for the prefix /usr. For another, it is in PREFIX/etc/everest.") << '\n'
        << ".TP\n.I belay.yaml\n"
        << roff("Beside the configuration: what EVerest's has no place for.") << '\n'
        << ".TP\n.I user\\-config/NAME.yaml\n"
        << roff("Beside the configuration NAME.yaml: what modules have set while they ran, without --db.") << '\n';
    section(out, "EXAMPLES");
    write_examples(out, help.examples);
    section(out, "SEE ALSO");
    out << ".BR belay.yaml (5),\n.BR launcher (8),\n.BR capabilities (7)\n";
}

void write_launcher_page(std::ostream& out)
{
    begin_page(out, "launcher", "8", "start the processes of an EVerest charger, as its plan says");
    section(out, "SYNOPSIS");
    out << ".B launcher\n\\fB\\-\\-plan\\-fd\\fR \\fIN\\fR \\fB\\-\\-control\\-fd\\fR \\fIN\\fR "
           "\\fB\\-\\-manager\\-pid\\fR "
           "\\fIPID\\fR\n";
    section(out, "DESCRIPTION");
    out << roff("The half of Belay that stays root. manager(8) executes it in its own place, with the plan of what may "
                "be "
                "started in a sealed memory file and a socket to the unprivileged half; nobody else has a use for it.")
        << "\n.PP\n"
        << roff("It reads no file but the plan, and speaks with nobody but the manager and systemd. A manager in other "
                "hands can "
                "ask for a module of the plan to be started or stopped; it cannot say as whom, with what, or which "
                "program.")
        << '\n';
    section(out, "STAGES");
    out << roff("A module's process goes through these before it executes its program. Where one fails, nothing is "
                "executed, and the log says: could not, the stage, and why.")
        << '\n';
    const auto last = static_cast<int>(launcher::StageId::execution);
    for (int id = 0; id <= last; ++id)
        out << ".IP " << id + 1 << ". 4\n" << roff(launcher::describe(static_cast<launcher::StageId>(id))) << '\n';
    section(out, "SEE ALSO");
    out << ".BR manager (8),\n.BR belay.yaml (5)\n";
}

} // namespace belay::help
