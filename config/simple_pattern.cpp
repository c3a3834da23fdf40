// SPDX-License-Identifier: Apache-2.0
#include "config/simple_pattern.hpp"

#include <algorithm>
#include <cstdint>

namespace belay::config {

namespace {

constexpr std::size_t most_atoms = 63;
constexpr std::string_view special = "\\^$.*+?()[]{}|";

/// But for NUL. Whether a char has a sign is up to the architecture.
bool is_ascii(unsigned char c)
{
    constexpr unsigned char last = 0x7f;
    return c > 0 && c <= last;
}

bool is_plain(char c)
{
    return is_ascii(static_cast<unsigned char>(c)) && special.find(c) == std::string_view::npos;
}

/// What is between brackets; nothing if it is more than letters and ranges of them.
std::optional<std::bitset<256>> parse_set(std::string_view inside)
{
    std::bitset<256> result;
    for (std::size_t i = 0; i < inside.size(); ++i) {
        const bool edge = i == 0 || i + 1 == inside.size();
        const auto first = static_cast<unsigned char>(inside[i]);
        if (first == '-' ? !edge : !is_ascii(first) || first == '^' || first == '\\' || first == '[')
            return std::nullopt;
        auto last = first;
        if (i + 2 < inside.size() && inside[i + 1] == '-') {
            i += 2;
            last = static_cast<unsigned char>(inside[i]);
            if (first == '-' || !is_plain(inside[i]) || inside[i] == '-' || last < first)
                return std::nullopt;
        }
        for (unsigned c = first; c <= last; ++c)
            result.set(c);
    }
    if (result.none())
        return std::nullopt;
    return result;
}

/// What `.` accepts.
std::bitset<256> but_line_ends()
{
    std::bitset<256> result;
    result.set().reset('\n').reset('\r');
    return result;
}

} // namespace

bool SimplePattern::exclude(std::string_view words)
{
    for (bool more = true; more;) {
        const auto end = std::min(words.find('|'), words.size());
        auto word = words.substr(0, end);
        const bool whole = word.ends_with('$');
        word.remove_suffix(whole ? 1 : 0);
        if (!std::all_of(word.begin(), word.end(), is_plain))
            return false;
        excluded_.push_back({std::string{word}, whole});
        more = end < words.size();
        words.remove_prefix(more ? end + 1 : end);
    }
    return true;
}

std::optional<SimplePattern> SimplePattern::parse(std::string_view pattern)
{
    if (pattern.size() < 2 || pattern.front() != '^' || pattern.back() != '$')
        return std::nullopt;
    pattern = pattern.substr(1, pattern.size() - 2);
    SimplePattern result;
    if (constexpr std::string_view unless = "(?!"; pattern.starts_with(unless)) {
        const auto end = pattern.find(')');
        if (end == std::string_view::npos || !result.exclude(pattern.substr(unless.size(), end - unless.size())))
            return std::nullopt;
        pattern.remove_prefix(end + 1);
    }
    while (!pattern.empty()) {
        Atom atom;
        std::size_t length = 1;
        if (pattern.front() == '[') {
            const auto end = pattern.find(']');
            const auto set = end == std::string_view::npos ? std::nullopt : parse_set(pattern.substr(1, end - 1));
            if (!set)
                return std::nullopt;
            atom.accepted = *set;
            length = end + 1;
        } else if (pattern.front() == '.') {
            atom.accepted = but_line_ends();
        } else if (is_plain(pattern.front())) {
            atom.accepted.set(static_cast<unsigned char>(pattern.front()));
        } else {
            return std::nullopt;
        }
        pattern.remove_prefix(length);
        if (!pattern.empty() && std::string_view{"*+?"}.find(pattern.front()) != std::string_view::npos) {
            atom.optional = pattern.front() != '+';
            atom.repeated = pattern.front() != '?';
            pattern.remove_prefix(1);
        }
        result.atoms_.push_back(atom);
    }
    if (result.atoms_.size() > most_atoms)
        return std::nullopt;
    return result;
}

bool SimplePattern::match(std::string_view text) const
{
    if (std::any_of(excluded_.begin(), excluded_.end(),
                    [&](const Word& word) { return word.whole ? text == word.text : text.starts_with(word.text); }))
        return false;
    // Bit i: what was read so far may be followed by atom i; the bit behind the last one: by the end.
    const auto skip = [&](std::uint64_t state) {
        for (std::size_t i = 0; i < atoms_.size(); ++i)
            if (atoms_[i].optional && (state >> i & 1U) != 0)
                state |= std::uint64_t{2} << i;
        return state;
    };
    std::uint64_t state = skip(1);
    for (const char c : text) {
        std::uint64_t next = 0;
        for (std::size_t i = 0; i < atoms_.size(); ++i)
            if ((state >> i & 1U) != 0 && atoms_[i].accepted.test(static_cast<unsigned char>(c)))
                next |= (std::uint64_t{2} << i) | (atoms_[i].repeated ? std::uint64_t{1} << i : 0);
        state = skip(next);
        if (state == 0)
            return false;
    }
    return (state >> atoms_.size() & 1U) != 0;
}

} // namespace belay::config
