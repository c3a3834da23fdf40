// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "launcher/plan.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <string>
#include <vector>

/// One control group for each module, below the directory that was delegated to Belay; see cgroups(7). A module is
/// created in its own (clone3(2)), cannot leave it, and ends as a whole with it. All of it belongs to the launcher's
/// user: no capability is needed.
namespace belay::launcher {

/// What can be asked of the control groups of a plan. After create(), nothing is allocated. Without a delegated
/// directory in the plan there are none, and every question has the answer of a module that has none.
class ControlGroups
{
public:
    /// Moves every process of the plan's directory (this one and the manager) to a leaf of it, enables the controllers
    /// that the plan needs, and makes the modules' groups with their settings; what a predecessor left there is killed.
    /// The error is a sentence with path and remedy.
    static tl::expected<ControlGroups, std::string> create(const LaunchPlan& plan);

    /// A new leaf of the module's group for clone3(2), in the place of the last one; nothing: the module has no group.
    /// It must be new: Linux 6.14 to 6.18, at least, kill at birth whoever is created in a group that was killed
    /// before. The error is an errno.
    [[nodiscard]] tl::expected<FileDescriptor, int> make_leaf(std::size_t module) const noexcept;

    /// Readable by POLLPRI whenever populated() may have changed.
    [[nodiscard]] int events(std::size_t module) const noexcept;

    /// SIGKILL for all in the module's group at once, however fast they fork.
    void kill(std::size_t module) const noexcept;

    /// Whether a process is left in the module's group. False if that cannot be known.
    [[nodiscard]] bool populated(std::size_t module) const noexcept;

    /// How many of the module's processes the kernel has killed for want of memory since the last time.
    std::uint32_t take_oom_kills(std::size_t module) noexcept;

    /// Removes every group; with the modules, the leaf of this process too. Complains about what stays.
    void remove() noexcept;

private:
    struct Group
    {
        std::string name;
        FileDescriptor directory, kill, events, memory_events;
        std::uint64_t oom_kills = 0;
    };

    int remove_groups() noexcept;
    tl::expected<void, std::string> move_processes();
    tl::expected<void, std::string> enable_controllers(const LaunchPlan& plan);
    tl::expected<void, std::string> make_group(const ProcessPlan& module);

    std::string path_; ///< of the delegated directory; for messages
    FileDescriptor base_;
    std::vector<Group> groups_;
    std::vector<std::string> enabled_; ///< "-memory"; taken back in the end
};

} // namespace belay::launcher
