// SPDX-License-Identifier: Apache-2.0
#include "config/belay_help.hpp"
#include "help/notation.hpp"
#include "help/pages.hpp"

#include <algorithm>
#include <string>

namespace belay::help {

namespace {

/// A notation of config/belay_help.cpp as a sentence would have it.
std::string in_words(const Notation& value)
{
    std::string text;
    for (const auto& word : value.words)
        text += (text.empty() ? "" : ", ") + ('`' + word + '`');
    if (value.kind == Notation::Kind::words)
        return text;
    if (value.range)
        text += std::to_string(value.range->first) + " to " + std::to_string(value.range->second);
    const auto plain = describe(value.kind);
    if (value.kind == Notation::Kind::mapping && !text.empty())
        return text + ", or a " + plain;
    return plain + (text.empty() ? "" : ", ") + text + (value.pair ? ", or \"soft:hard\"" : "");
}

} // namespace

void write_belay_yaml_page(std::ostream& out)
{
    begin_page(out, "belay.yaml", "5", "what EVerest's configuration has no place for");
    out << ".SH DESCRIPTION\n"
        << roff("An optional file beside the configuration, read by manager(8). It is root's own: nobody else may "
                "write it "
                "where modules have a user (`run_as_user`). All keys may be left out. Mistakes are reported with file, "
                "line "
                "and the nearest valid name, by `manager --check`, too. Times are seconds, with fractions.")
        << "\n.PP\n"
        << roff("Editors that know JSON Schema find one in share/belay/belay.json. Where Belay is a package, README.md "
                "and "
                "an example are in share/doc/belay.")
        << '\n'
        << ".SH KEYS\n";
    for (const auto& key : config::belay_yaml_help()) {
        const std::string_view name = key.key;
        const auto depth = std::ranges::count(name, '.');
        if (depth == 0)
            out << ".SS " << roff(name) << '\n' << roff(key.text) << '\n';
        else
            out << ".TP\n\\fB" << roff(name.substr(name.find('.') + 1)) << "\\fR (" << roff(in_words(parse(key)))
                << ")\n"
                << roff(key.text) << '\n';
    }
    out << ".SH EXAMPLE\n.nf\n"
        << roff("modules:\n"
                "  \"*\":\n"
                "    capabilities: []\n"
                "    sandbox: strict\n"
                "  EvseSlac:\n"
                "    capabilities: [CAP_NET_RAW]\n"
                "    restart: {policy: on-failure, delay: 1}\n"
                "broker:\n"
                "  recover: true")
        << "\n.fi\n.SH SEE ALSO\n.BR manager (8),\n.BR systemd.exec (5),\n.BR systemd.resource\\-control (5),\n"
           ".BR landlock (7),\n.BR seccomp (2)\n";
}

} // namespace belay::help
