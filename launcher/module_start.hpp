// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/landlock.hpp"
#include "launcher/plan.hpp"
#include "launcher/seccomp_filter.hpp"

#include <span>
#include <string>
#include <vector>

#include <linux/filter.h>

/// A ProcessPlan made ready for the child: everything it needs is allocated and looked up before the fork.
namespace belay::launcher {

/// What the child reads. It owns nothing.
struct ModuleStart
{
    int program = -1;       ///< O_PATH
    int null_device = -1;   ///< becomes standard input
    int output = -1;        ///< becomes standard output and standard error; -1: standard error serves both
    int status = -1;        ///< the child's end of a StatusChannel
    int control_group = -1; ///< a directory: where it must go by itself; -1: it is where it belongs
    char* const* arguments = nullptr;
    char* const* environment = nullptr;
    const char* working_directory = nullptr;
    uid_t uid = 0;
    gid_t gid = 0;
    std::span<const gid_t> groups;   ///< sorted
    std::span<gid_t> groups_scratch; ///< one longer than `groups`
    uid_t former_uid = 0;            ///< the launcher's; must be out of reach afterwards
    gid_t former_gid = 0;
    CapabilityMask capabilities = 0;
    Privileges privileges = Privileges::kept;
    bool change_identity = false;
    bool no_new_privileges = true;
    Network network = Network::host;
    mode_t umask = 0;
    std::span<const ResourceLimit> limits;
    const Priorities* priorities = nullptr;
    std::span<const MountStep> mounts;
    std::span<const std::string> devices;
    std::span<int> device_scratch;      ///< one for each device, the common ones included
    ino_t former_mount_namespace = 0;   ///< the launcher's
    ino_t former_network_namespace = 0; ///< the launcher's
    const LandlockPlan* landlock = nullptr;
    LandlockRuleset landlock_ruleset;
    pid_t out_of_reach = 0;  ///< a process that may not be signalled from inside the domain; 0: not checked
    sock_fprog filter{};     ///< no instructions: no filter
    sock_fprog allowed{};    ///< likewise; what it does not allow is notified over `status`
    char* own_pid = nullptr; ///< in `environment`: where the digits of WATCHDOG_PID go; null: nowhere
    pid_t parent = 0;        ///< the launcher; 0: not checked, no parent-death signal
};

/// Owns what a ModuleStart refers to. `plan` and `filters` must outlive it.
class PreparedStart
{
public:
    PreparedStart(const ProcessPlan& plan, Filters& filters);
    PreparedStart(const PreparedStart&) = delete;
    PreparedStart& operator=(const PreparedStart&) = delete;
    PreparedStart(PreparedStart&&) = delete;
    PreparedStart& operator=(PreparedStart&&) = delete;
    ~PreparedStart() = default;

    [[nodiscard]] ModuleStart& start() noexcept { return start_; }

private:
    std::vector<char*> arguments_;
    std::vector<char*> environment_;
    std::string watchdog_pid_; ///< the one entry that only the child knows
    std::vector<gid_t> groups_;
    std::vector<gid_t> scratch_;
    std::vector<int> device_scratch_;
    ModuleStart start_;
};

} // namespace belay::launcher
