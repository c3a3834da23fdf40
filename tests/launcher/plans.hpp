// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"

#include <string>
#include <vector>

#include <linux/landlock.h>
#include <unistd.h>

/// A plan that runs `arguments` (the first is the program) as this process's user.
inline belay::launcher::ProcessPlan plan_for(std::vector<std::string> arguments)
{
    belay::launcher::ProcessPlan plan;
    plan.id = "probe";
    plan.name = "Probe";
    plan.program = arguments.front();
    plan.arguments = std::move(arguments);
    plan.environment = {"PATH=/usr/bin:/bin"};
    plan.working_directory = "/";
    plan.uid = ::geteuid();
    plan.gid = ::getegid();
    return plan;
}

/// Lets `plan` execute only files in `places`; see landlock(7).
inline void execute_only(belay::launcher::ProcessPlan& plan, std::vector<std::string> places)
{
    plan.landlock.handled_fs |= LANDLOCK_ACCESS_FS_EXECUTE;
    plan.landlock.paths.clear();
    for (auto& place : places)
        plan.landlock.paths.push_back({std::move(place), LANDLOCK_ACCESS_FS_EXECUTE});
}

/// As another user, with exactly `capabilities`.
inline belay::launcher::ProcessPlan unprivileged(std::vector<std::string> arguments,
                                                 belay::launcher::CapabilityMask capabilities = 0)
{
    auto plan = plan_for(std::move(arguments));
    plan.change_identity = true;
    plan.uid = 64999;
    plan.gid = 64998;
    plan.groups = {64997, 64998};
    plan.privileges = belay::launcher::Privileges::exact;
    plan.capabilities = capabilities;
    plan.landlock.isolate = true;
    return plan;
}

/// Two modules and a manager; the first module's plan uses every kind of field. It is not meant to be started.
inline belay::launcher::LaunchPlan plan_with_everything()
{
    belay::launcher::LaunchPlan plan;
    auto module = plan_for({"/usr/bin/env", "", "x y"});
    module.change_identity = true;
    module.uid = 1000;
    module.groups = {1, 2, 3};
    module.privileges = belay::launcher::Privileges::exact;
    module.capabilities = 1U << 13U;
    module.limits = {{RLIMIT_NOFILE, 64, 128}};
    execute_only(module, {"/usr"});
    module.landlock.ports = {{80, 1}};
    module.mounts = {{belay::launcher::MountStep::Kind::temporary, "/tmp", "size=1m"},
                     {belay::launcher::MountStep::Kind::devices, "/dev", ""}};
    module.devices = {"/dev/ttyS0"};
    module.priorities.nice = 5;
    module.priorities.cpus = {0, 1};
    module.cgroup = {{"memory.max", "1048576"}};
    module.system_call_policy = belay::launcher::SystemCallPolicy::allow_list;
    module.system_calls = {0, 1, 60};
    plan.modules = {module, plan_for({"/bin/true"})};
    plan.manager = plan_for({"/bin/false"});
    plan.trust_rule = true;
    plan.watchdog = {.wanted = true,
                     .device = "/dev/watchdog0",
                     .pretimeout_s = 5,
                     .pretimeout_governor = "noop",
                     .record_directory = "/var/lib/everest",
                     .history = "boot 1\n"};
    plan.notify_directory = "/run/belay-abcdef";
    return plan;
}
