// SPDX-License-Identifier: Apache-2.0
#include "config/diagnostics.hpp"

#include <algorithm>
#include <utility>

namespace belay::config {

namespace {

/// Files come from anywhere; what they contain must not steer the reader's terminal.
std::string printable(std::string_view text)
{
    std::string result;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\t')
            result += ' ';
        else
            result += byte < 0x20 || byte == 0x7f ? '?' : c;
    }
    return result;
}

std::string excerpt(const Diagnostic& diagnostic, bool color)
{
    constexpr std::size_t widest = 200;
    const auto number = std::to_string(diagnostic.location.line);
    const auto margin = std::max<std::size_t>(5, number.size() + 2);
    auto line = printable(diagnostic.source);
    if (line.size() > widest)
        line = line.substr(0, widest) + "…";
    std::string result = '\n' + std::string(margin - number.size(), ' ') + number + " | " + line;
    const auto column = static_cast<std::size_t>(std::max(1, diagnostic.location.column));
    if (column > widest)
        return diagnostic.hint.empty() ? result : result + '\n' + std::string(margin, ' ') + " | " + diagnostic.hint;
    result += '\n' + std::string(margin, ' ') + " | " + std::string(column - 1, ' ');
    const auto room = diagnostic.source.size() >= column ? diagnostic.source.size() - column + 1 : 1;
    const auto length = std::min(static_cast<std::size_t>(std::max(1, diagnostic.location.length)), room);
    result +=
        (color ? "\033[1;32m" : "") + ('^' + std::string(std::min(length, widest) - 1, '~')) + (color ? "\033[0m" : "");
    return diagnostic.hint.empty() ? result : result + ' ' + printable(diagnostic.hint);
}

} // namespace

void Diagnostics::error(Location location, std::string message, std::string hint, std::string source)
{
    diagnostics_.push_back(
        {Severity::error, std::move(location), std::move(message), std::move(hint), std::move(source)});
}

void Diagnostics::warning(Location location, std::string message, std::string hint, std::string source)
{
    diagnostics_.push_back(
        {Severity::warning, std::move(location), std::move(message), std::move(hint), std::move(source)});
}

bool Diagnostics::has_errors() const
{
    return std::any_of(diagnostics_.begin(), diagnostics_.end(),
                       [](const Diagnostic& d) { return d.severity == Severity::error; });
}

std::string render(const Diagnostic& diagnostic, bool color)
{
    const auto& place = diagnostic.location;
    std::string result = printable(place.file);
    if (place.line > 0)
        result += ':' + std::to_string(place.line) + ':' + std::to_string(place.column);
    if (!result.empty())
        result += ": ";
    const bool is_error = diagnostic.severity == Severity::error;
    result += color ? (is_error ? "\033[1;31merror\033[0m: " : "\033[1;35mwarning\033[0m: ")
                    : (is_error ? "error: " : "warning: ");
    result += printable(diagnostic.message);
    if (place.line > 0 && !diagnostic.source.empty())
        return result + excerpt(diagnostic, color);
    return diagnostic.hint.empty() ? result : result + "; " + printable(diagnostic.hint);
}

} // namespace belay::config
