// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "manager/event_loop.hpp"
#include "manager/readiness.hpp"

#include <spdlog/logger.h>

#include <functional>
#include <set>
#include <string>

namespace belay::manager {

/// The modules whose readiness counts: all but the ignored.
[[nodiscard]] std::set<std::string> awaited(const config::Configuration& configuration);

class RollCallListener
{
public:
    /// Only standalone modules are missing.
    virtual void on_spawned_ready() = 0;
    /// Also when one became ready again.
    virtual void on_all_ready() = 0;
    /// For messages; 0 if it does not execute, or is not ours.
    virtual pid_t pid_of(const std::string& id) = 0;

protected:
    ~RollCallListener() = default;
};

/// Who is ready. Names those who are missed, every ten seconds; says when all are there, but not more often than ten
/// times a second, so that whoever floods the broker does not flood the modules.
class RollCall
{
public:
    RollCall(EventLoop& loop, const config::Configuration& configuration, spdlog::logger& log,
             RollCallListener& listener);

    /// The modules were started; with `standalone_too`, those that others start are waited for again.
    void begin(bool standalone_too);

    /// The modules are stopped: nothing is said any more.
    void end();

    void mark(const std::string& id);

    /// It ended, and its successor is waited for.
    void forget(const std::string& id);

    [[nodiscard]] bool is_ready(const std::string& id) const;
    [[nodiscard]] bool complete() const { return readiness_.missing().empty(); }

    /// "14 of 17 ready, waiting for slac".
    [[nodiscard]] std::string summary() const { return readiness_.summary(); }

private:
    void all_ready();
    void remind();

    spdlog::logger& log_;
    RollCallListener& listener_;
    Readiness readiness_;
    Timer next_announcement_;
    Timer next_reminder_;
    std::uint64_t announced_ns_ = 0; ///< 0: never
};

} // namespace belay::manager
