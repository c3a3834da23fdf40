// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/event_loop.hpp"
#include "manager/launcher_client.hpp"

#include <functional>
#include <string>

namespace belay::manager {

/// The line that `systemctl status` shows. While something is waited for, it is looked at twice a second, and repeated
/// every ten seconds: that is the sign of life for which systemd lets a slow start go on. Nothing is sent, and nobody
/// is woken up, where no systemd listens.
class ServiceStatus
{
public:
    /// `describe`: how things are, in a few words of UTF-8.
    ServiceStatus(EventLoop& loop, LauncherClient& launcher, bool listened_to, std::function<std::string()> describe);

    /// Something has changed. `waiting`: more will, or should.
    void update(bool waiting);

    /// Everybody is there, or nobody is to come.
    void ready() { notify(launcher::Notification::ready); }
    void stopping() { notify(launcher::Notification::stopping); }

private:
    void notify(launcher::Notification kind, std::string_view text = {});
    void look();
    void say();

    LauncherClient& launcher_;
    bool listened_to_;
    std::function<std::string()> describe_;
    Timer next_look_;
    std::string said_;
    std::uint64_t said_ns_ = 0;
    bool waiting_ = false;
};

} // namespace belay::manager
