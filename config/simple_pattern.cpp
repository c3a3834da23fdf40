// SPDX-License-Identifier: Apache-2.0
#include "config/simple_pattern.hpp"

#include <cstdint>

namespace belay::config {

namespace {

constexpr std::size_t most_atoms = 63;
constexpr std::string_view special = "\\^$.*+?()[]{}|";

bool is_plain(char c)
{
    return c > 0 && special.find(c) == std::string_view::npos; // a negative one is not ASCII
}

/// What is between brackets; nothing if it is more than letters and ranges of them.
std::optional<std::bitset<256>> parse_set(std::string_view inside)
{
    std::bitset<256> result;
    for (std::size_t i = 0; i < inside.size(); ++i) {
        const bool edge = i == 0 || i + 1 == inside.size();
        if (inside[i] == '-' ? !edge : inside[i] <= 0 || inside[i] == '^' || inside[i] == '\\' || inside[i] == '[')
            return std::nullopt;
        const auto first = static_cast<unsigned char>(inside[i]);
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

} // namespace

std::optional<SimplePattern> SimplePattern::parse(std::string_view pattern)
{
    if (pattern.size() < 2 || pattern.front() != '^' || pattern.back() != '$')
        return std::nullopt;
    pattern = pattern.substr(1, pattern.size() - 2);
    SimplePattern result;
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
