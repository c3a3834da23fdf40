// SPDX-License-Identifier: Apache-2.0
#include "manager/roll_call.hpp"

#include <algorithm>
#include <utility>

namespace belay::manager {

namespace {

constexpr auto reminder_interval = std::chrono::seconds(10); // EVerest's modules are ready within a second
constexpr auto announcement_interval = std::chrono::milliseconds(100);

Readiness make_readiness(const config::Configuration& configuration)
{
    std::set<std::string, std::less<>> spawned;
    std::set<std::string, std::less<>> standalone;
    for (const auto& id : awaited(configuration))
        (configuration.modules.at(id).standalone ? standalone : spawned).insert(id);
    return {std::move(spawned), std::move(standalone)};
}

} // namespace

std::set<std::string> awaited(const config::Configuration& configuration)
{
    std::set<std::string> ids;
    for (const auto& [id, module] : configuration.modules)
        if (!module.ignored)
            ids.insert(id);
    return ids;
}

RollCall::RollCall(EventLoop& loop, const config::Configuration& configuration, spdlog::logger& log,
                   RollCallListener& listener)
    : log_(log),
      listener_(listener),
      readiness_(make_readiness(configuration)),
      next_announcement_(loop, [this] { all_ready(); }),
      next_reminder_(loop, [this] { remind(); })
{}

void RollCall::begin(bool standalone_too)
{
    readiness_.begin(standalone_too);
    next_reminder_.arm(reminder_interval);
}

void RollCall::end()
{
    next_announcement_.disarm();
    next_reminder_.disarm();
}

void RollCall::mark(const std::string& id)
{
    switch (readiness_.mark(id)) {
    case Readiness::Outcome::spawned_ready:
        log_.info("all modules that are started here are ready; waiting for the standalone ones");
        return listener_.on_spawned_ready();
    case Readiness::Outcome::all_ready:
        return all_ready();
    case Readiness::Outcome::unknown_module:
    case Readiness::Outcome::progress:
        break;
    }
}

void RollCall::forget(const std::string& id)
{
    readiness_.forget(id);
    next_announcement_.disarm(); // its successor's readiness brings another
    next_reminder_.arm(reminder_interval);
}

bool RollCall::is_ready(const std::string& id) const
{
    const auto missing = readiness_.missing();
    return std::ranges::find(missing, id) == missing.end();
}

void RollCall::all_ready()
{
    const auto now = monotonic_ns();
    const std::chrono::nanoseconds since{now - announced_ns_};
    if (announced_ns_ != 0 && since < announcement_interval)
        return next_announcement_.arm(std::chrono::ceil<std::chrono::milliseconds>(announcement_interval - since));
    announced_ns_ = now;
    next_reminder_.disarm();
    listener_.on_all_ready();
}

/// Somebody who finds the charger dead must see which module it waits for.
void RollCall::remind()
{
    std::string names;
    for (const auto& id : readiness_.missing()) {
        const auto pid = listener_.pid_of(id);
        names += (names.empty() ? "" : ", ") + id + (pid > 0 ? " (pid " + std::to_string(pid) + ")" : "");
    }
    log_.warn("not ready yet: {}", names);
    next_reminder_.arm(reminder_interval);
}

} // namespace belay::manager
