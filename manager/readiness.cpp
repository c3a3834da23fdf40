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

void Readiness::forget(std::string_view id)
{
    if (spawned_.contains(id))
        missing_spawned_.emplace(id);
}

} // namespace belay::manager
