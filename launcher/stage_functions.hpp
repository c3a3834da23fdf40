// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/module_start.hpp"

/// The functions of the table in stages.cpp, by the file they are in. Each runs between fork and exec (no allocation,
/// no locks, no exceptions) and returns an errno, 0 for success.
namespace belay::launcher {

// process_stages.cpp
int enter_control_group(const ModuleStart& start) noexcept;
int reset_signals(const ModuleStart& start) noexcept;
int start_session(const ModuleStart& start) noexcept;
int become_subreaper(const ModuleStart& start) noexcept;
int set_descriptors(const ModuleStart& start) noexcept;
int set_limits(const ModuleStart& start) noexcept;
int change_directory(const ModuleStart& start) noexcept;
int set_parent_death_signal(const ModuleStart& start) noexcept;

// priorities.cpp
int set_priorities(const ModuleStart& start) noexcept;
/// 0, an errno, or `mismatch` of raw_calls.hpp; likewise below.
int verify_priorities(const ModuleStart& start) noexcept;

// namespaces.cpp
int enter_namespaces(const ModuleStart& start) noexcept;
int verify_namespaces(const ModuleStart& start) noexcept;

// mounts.cpp
/// Devices that every process gets with MountStep::Kind::devices.
std::size_t common_device_count() noexcept;
int arrange_mounts(const ModuleStart& start) noexcept;
int verify_mounts(const ModuleStart& start) noexcept;

// privilege_stages.cpp
int join_session_keyring(const ModuleStart& start) noexcept;
int set_groups(const ModuleStart& start) noexcept;
int set_group_id(const ModuleStart& start) noexcept;
int set_bounding_set(const ModuleStart& start) noexcept;
int set_user_id(const ModuleStart& start) noexcept;
int set_working_capabilities(const ModuleStart& start) noexcept;
int set_ambient_set(const ModuleStart& start) noexcept;
int lock_securebits(const ModuleStart& start) noexcept;
int set_final_capabilities(const ModuleStart& start) noexcept;
int set_no_new_privileges(const ModuleStart& start) noexcept;
int verify_privileges(const ModuleStart& start) noexcept;

// landlock.cpp
int enter_landlock(const ModuleStart& start) noexcept;

// filter_stage.cpp
int filter_system_calls(const ModuleStart& start) noexcept;

// verification.cpp
int verify(const ModuleStart& start) noexcept;

} // namespace belay::launcher
