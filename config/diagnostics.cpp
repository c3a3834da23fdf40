// SPDX-License-Identifier: Apache-2.0
#include "config/diagnostics.hpp"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

namespace belay::config {

namespace {

constexpr std::size_t page_width = 80;

bool continues_character(char c)
{
    return (static_cast<unsigned char>(c) & 0xc0U) == 0x80U;
}

/// Columns that valid UTF-8 takes on a terminal, as long as nobody names modules in Chinese.
std::size_t width(std::string_view text)
{
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return !continues_character(c); }));
}

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

/// The part of a line that is shown, and where in it the column is.
struct Window
{
    std::string text;
    std::size_t offset; ///< bytes before the column
};

Window window_of(const std::string& line, std::size_t offset, std::size_t room)
{
    constexpr std::size_t before = 30;
    const std::string_view dots = "…";
    if (line.size() <= room)
        return {printable(line), offset};
    std::size_t begin = offset + before < room ? 0 : offset - before;
    while (begin > 0 && begin < line.size() && continues_character(line[begin]))
        --begin;
    std::size_t end = std::min(line.size(), begin + room - 2);
    while (end < line.size() && continues_character(line[end]))
        ++end;
    auto text = printable(std::string_view{line}.substr(begin, end - begin));
    offset -= begin;
    if (begin > 0) {
        text.insert(0, dots);
        offset += dots.size();
    }
    if (end < line.size())
        text += dots;
    return {std::move(text), offset};
}

std::string excerpt(const Diagnostic& diagnostic, bool color)
{
    const auto number = std::to_string(diagnostic.location.line);
    const auto margin = std::max<std::size_t>(5, number.size() + 2);
    const auto bar = '\n' + std::string(margin, ' ') + " | ";
    const auto hint = printable(diagnostic.hint);
    const auto offset =
        std::min(static_cast<std::size_t>(std::max(1, diagnostic.location.column)) - 1, diagnostic.source.size());
    const auto window = window_of(diagnostic.source, offset, page_width - margin - 3);
    std::string result = '\n' + std::string(margin - number.size(), ' ') + number + " | " + window.text;

    const auto rest = std::string_view{window.text}.substr(std::min(window.offset, window.text.size()));
    const auto wanted = static_cast<std::size_t>(std::max(1, diagnostic.location.length));
    const auto length = std::max<std::size_t>(1, width(rest.substr(0, wanted)));
    const auto indent = width(std::string_view{window.text}.substr(0, window.offset));
    result += bar + std::string(indent, ' ') + (color ? "\033[1;32m" : "") + '^' + std::string(length - 1, '~') +
              (color ? "\033[0m" : "");
    if (hint.empty())
        return result;
    const bool fits = margin + 3 + indent + length + 1 + width(hint) <= page_width;
    return result + (fits ? " " : bar) + hint;
}

} // namespace

void Diagnostics::add(Diagnostic diagnostic)
{
    if (diagnostics_.size() < most)
        diagnostics_.push_back(std::move(diagnostic));
    else if (diagnostic.severity == Severity::error && !has_errors())
        diagnostics_.back() = std::move(diagnostic);
}

void Diagnostics::error(Location location, std::string message, std::string hint, std::string source)
{
    add({Severity::error, std::move(location), std::move(message), std::move(hint), std::move(source)});
}

void Diagnostics::warning(Location location, std::string message, std::string hint, std::string source)
{
    add({Severity::warning, std::move(location), std::move(message), std::move(hint), std::move(source)});
}

void Diagnostics::append(const Diagnostics& others)
{
    for (const auto& other : others.all())
        add(other);
}

void Diagnostics::append_as_warnings(const Diagnostics& others)
{
    for (auto other : others.all()) {
        other.severity = Severity::warning;
        add(std::move(other));
    }
}

void Diagnostics::sort(const std::string& first_file)
{
    const auto before = [&](const Location& a, const Location& b) {
        const bool a_other = a.file != first_file;
        const bool b_other = b.file != first_file;
        const bool a_placed = !a.file.empty();
        const bool b_placed = !b.file.empty();
        return std::tie(a_placed, a_other, a.file, a.line, a.column) <
               std::tie(b_placed, b_other, b.file, b.line, b.column);
    };
    std::stable_sort(diagnostics_.begin(), diagnostics_.end(),
                     [&](const Diagnostic& a, const Diagnostic& b) { return before(a.location, b.location); });
    // One line can speak of many modules.
    const auto same = [](const Diagnostic& a, const Diagnostic& b) {
        return a.location.line != 0 && a.location.line == b.location.line && a.location.file == b.location.file &&
               a.message == b.message;
    };
    diagnostics_.erase(std::unique(diagnostics_.begin(), diagnostics_.end(), same), diagnostics_.end());
}

std::size_t Diagnostics::count(Severity severity) const
{
    return static_cast<std::size_t>(std::count_if(diagnostics_.begin(), diagnostics_.end(),
                                                  [&](const Diagnostic& d) { return d.severity == severity; }));
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
