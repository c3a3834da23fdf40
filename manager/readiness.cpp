// SPDX-License-Identifier: Apache-2.0
#include "manager/readiness.hpp"

#include <utility>

namespace belay::manager {

Readiness::Readiness(std::set<std::string, std::less<>> spawned, std::set<std::string, std::less<>> standalone)
    : spawned_(std::move(spawned)),
      standalone_(std::move(standalone)),
      missing_spawned_(spawned_),
      missing_standalone_(standalone_)
{}

void Readiness::begin(bool standalone_too)
{
    missing_spawned_ = spawned_;
    if (standalone_too)
        missing_standalone_ = standalone_;
    spawned_reported_ = false;
}

Readiness::Outcome Readiness::mark(std::string_view id)
{
    if (!spawned_.contains(id) && !standalone_.contains(id))
        return Outcome::unknown_module;
    if (const auto found = missing_spawned_.find(id); found != missing_spawned_.end())
        missing_spawned_.erase(found);
    if (const auto found = missing_standalone_.find(id); found != missing_standalone_.end())
        missing_standalone_.erase(found);
    if (!missing_spawned_.empty())
        return Outcome::progress;
    if (missing_standalone_.empty())
        return Outcome::all_ready;
    return std::exchange(spawned_reported_, true) ? Outcome::progress : Outcome::spawned_ready;
}

std::vector<std::string> Readiness::missing() const
{
    std::vector<std::string> result{missing_spawned_.begin(), missing_spawned_.end()};
    result.insert(result.end(), missing_standalone_.begin(), missing_standalone_.end());
    return result;
}

std::string Readiness::summary() const
{
    constexpr std::size_t room_for_names = 130;
    const auto all = spawned_.size() + standalone_.size();
    const auto names = missing();
    if (names.empty())
        return all == 1 ? "The module is ready" : "All " + std::to_string(all) + " modules are ready";
    auto text = std::to_string(all - names.size()) + " of " + std::to_string(all) + " ready, waiting for ";
    const auto longest = text.size() + room_for_names;
    text += names[0];
    std::size_t named = 1;
    for (; named < names.size() && text.size() + 2 + names[named].size() <= longest; ++named)
        text += ", " + names[named];
    const auto left = names.size() - named;
    return left == 0 ? text : text + " and " + std::to_string(left) + " more";
}

void Readiness::forget(std::string_view id)
{
    if (spawned_.contains(id))
        missing_spawned_.emplace(id);
}

} // namespace belay::manager
