// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

namespace belay::manager {

/// Counts the modules that are ready: all configured ones but the ignored.
class Readiness
{
public:
    enum class Outcome
    {
        unknown_module,
        progress,
        spawned_ready, ///< all that the manager starts; standalone ones are still missing. Once.
        all_ready,     ///< also when a module says so again afterwards
    };

    Readiness(std::set<std::string, std::less<>> spawned, std::set<std::string, std::less<>> standalone);

    /// All spawned ones are started again; standalone ones may still be there.
    void begin(bool standalone_too);

    Outcome mark(std::string_view id);

    /// The module ended, and a successor is waited for.
    void forget(std::string_view id);

    /// Those that are not ready, the ones that are started here first.
    [[nodiscard]] std::vector<std::string> missing() const;

    /// "14 of 17 ready, waiting for slac"; at most 200 bytes, if ids are not longer than that.
    [[nodiscard]] std::string summary() const;

private:
    std::set<std::string, std::less<>> spawned_;
    std::set<std::string, std::less<>> standalone_;
    std::set<std::string, std::less<>> missing_spawned_;
    std::set<std::string, std::less<>> missing_standalone_;
    bool spawned_reported_ = false;
};

} // namespace belay::manager
