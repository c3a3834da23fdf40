// SPDX-License-Identifier: Apache-2.0
#include "config/nearest.hpp"

#include "config/quoted_list.hpp"

#include <algorithm>
#include <cctype>
#include <numeric>

namespace belay::config {

namespace {

int lower(char c)
{
    return std::tolower(static_cast<unsigned char>(c));
}

std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        auto diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const auto change = diagonal + (lower(a[i]) == lower(b[j]) ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({change, row[j] + 1, row[j + 1] + 1});
        }
    }
    return row.back();
}

} // namespace

std::string nearest(std::string_view name, const std::vector<std::string>& candidates)
{
    // Names longer than any real one would make the comparison quadratic in hostile input.
    constexpr std::size_t longest = 128;
    if (name.size() > longest)
        return {};
    // Two letters changed places count as two edits, so any but the shortest names may differ by two.
    auto best = (name.size() < 4 ? 1 : std::max<std::size_t>(2, name.size() / 3)) + 1;
    std::string result;
    for (const auto& candidate : candidates) {
        if (candidate.size() > longest)
            continue;
        const auto current = distance(name, candidate);
        if (current < best) {
            best = current;
            result = candidate;
        }
    }
    return result;
}

std::string suggest(std::string_view name, const std::vector<std::string>& candidates)
{
    const auto best = nearest(name, candidates);
    if (!best.empty())
        return "did you mean `" + best + "`?";
    constexpr std::size_t most = 8;
    if (candidates.empty() || candidates.size() > most)
        return {};
    return "expected one of " + quoted_list(candidates);
}

} // namespace belay::config
