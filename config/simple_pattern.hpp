// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bitset>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace belay::config {

/// A regular expression of the kind that names have: `^[a-zA-Z_][a-zA-Z0-9_.-]*$`, that is letters, sets of letters and
/// `.` in a row, each perhaps with `*`, `+` or `?`, from beginning to end; before them perhaps words that it must not
/// begin with, `(?!interface|vars$)`, or be, where they end with `$`. Made in microseconds, where std::regex takes
/// most of a millisecond, and matched in linear time.
class SimplePattern
{
public:
    /// Nothing if `pattern` is of another kind, or is none.
    static std::optional<SimplePattern> parse(std::string_view pattern);

    /// As std::regex_search() with the ECMAScript grammar.
    [[nodiscard]] bool match(std::string_view text) const;

private:
    struct Atom
    {
        std::bitset<256> accepted;
        bool optional = false;
        bool repeated = false;
    };

    struct Word
    {
        std::string text;
        bool whole = false;
    };

    bool exclude(std::string_view words);

    std::vector<Word> excluded_;
    std::vector<Atom> atoms_; ///< fewer than 64: each is a bit of match()'s state
};

} // namespace belay::config
