// SPDX-License-Identifier: Apache-2.0
#include "help/notation.hpp"

#include <algorithm>
#include <array>
#include <regex>
#include <sstream>
#include <stdexcept>

namespace belay::help {

namespace {

using Kind = Notation::Kind;

struct Name
{
    const char* written;
    Kind kind;
    const char* in_words;
};

constexpr std::array names{
    Name{"mapping", Kind::mapping, "mapping"},
    Name{"variables", Kind::variables, "mapping of names to texts"},
    Name{"boolean", Kind::boolean, "`true` or `false`"},
    Name{"seconds", Kind::seconds, "seconds"},
    Name{"timeout", Kind::timeout, "seconds, from 0.1"},
    Name{"user", Kind::user, "name or number"},
    Name{"name", Kind::name, "name"},
    Name{"device", Kind::device, "path below /dev"},
    Name{"names", Kind::names, "list of names"},
    Name{"paths", Kind::paths, "list of absolute paths"},
    Name{"ports", Kind::ports, "list of ports"},
    Name{"capabilities", Kind::capabilities, "list of capabilities"},
    Name{"number", Kind::number, "number, or `infinity`"},
    Name{"bytes", Kind::bytes, "bytes, as 64K, 16M or 2G, or `infinity`"},
    Name{"percent", Kind::percent, "percent"},
    Name{"", Kind::integer, "whole number"},
    Name{"", Kind::integers, "list of whole numbers"},
};

} // namespace

std::string describe(Kind kind)
{
    const auto* found = std::ranges::find(names, kind, &Name::kind);
    return found == names.end() ? "" : found->in_words;
}

Notation parse(const config::KeyHelp& key)
{
    Notation result;
    std::string text = key.value;
    if (text.ends_with(':')) {
        result.pair = true;
        text.pop_back();
    }
    static const std::regex range{R"((\[?)(-?\d+)\.\.(-?\d+)(\]?))"};
    if (std::smatch match; std::regex_match(text, match, range)) {
        result.kind = match[1].length() == 0 ? Kind::integer : Kind::integers;
        result.range.emplace(std::stoi(match[2]), std::stoi(match[3]));
        return result;
    }
    std::istringstream words{text};
    for (std::string word; std::getline(words, word, '|');) {
        const auto* found = std::ranges::find(names, word, &Name::written);
        if (found == names.end())
            result.words.push_back(word);
        else
            result.kind = found->kind;
    }
    if (text.empty() || (result.kind == Kind::words && result.words.size() < 2))
        throw std::runtime_error{"no notation of a value: `" + text + "` of " + key.key};
    return result;
}

} // namespace belay::help
