// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

namespace belay::launcher {

/// Removes the plan's notify directory in the end, with the sockets in it. Allocates nothing.
class NotifyDirectory
{
public:
    /// Must outlive this.
    explicit NotifyDirectory(const LaunchPlan& plan) noexcept : plan_(plan) {}
    NotifyDirectory(const NotifyDirectory&) = delete;
    NotifyDirectory& operator=(const NotifyDirectory&) = delete;
    NotifyDirectory(NotifyDirectory&&) = delete;
    NotifyDirectory& operator=(NotifyDirectory&&) = delete;
    ~NotifyDirectory() { remove(); }

    void remove() noexcept;

private:
    const LaunchPlan& plan_;
    bool removed_ = false;
};

} // namespace belay::launcher
