// SPDX-License-Identifier: Apache-2.0
#include "manager/service_status.hpp"

#include <utility>

namespace belay::manager {

namespace {

constexpr auto look_interval = std::chrono::milliseconds(500);
constexpr auto repeat_interval = std::chrono::seconds(10); // the launcher grants three times as much

} // namespace

ServiceStatus::ServiceStatus(EventLoop& loop, LauncherClient& launcher, bool listened_to,
                             std::function<std::string()> describe)
    : launcher_(launcher),
      listened_to_(listened_to),
      describe_(std::move(describe)),
      next_look_(loop, [this] { look(); })
{}

void ServiceStatus::notify(launcher::Notification kind, std::string_view text)
{
    if (listened_to_)
        launcher_.notify(kind, text);
}

void ServiceStatus::update(bool waiting)
{
    if (!listened_to_)
        return;
    say();
    if (std::exchange(waiting_, waiting) == waiting)
        return;
    if (waiting)
        next_look_.arm(look_interval);
    else
        next_look_.disarm();
}

void ServiceStatus::look()
{
    if (std::chrono::nanoseconds{monotonic_ns() - said_ns_} >= repeat_interval)
        said_.clear();
    say();
    next_look_.arm(look_interval);
}

void ServiceStatus::say()
{
    auto text = describe_();
    if (text == said_)
        return;
    notify(launcher::Notification::status, text);
    said_ = std::move(text);
    said_ns_ = monotonic_ns();
}

} // namespace belay::manager
