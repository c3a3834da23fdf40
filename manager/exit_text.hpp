// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"
#include "launcher/protocol.hpp"

#include <cstdint>
#include <string>

namespace belay::manager {

/// "SIGTERM"; "signal 99" for one without a name.
[[nodiscard]] std::string signal_name(int signal);

/// How a process ended, for people: "exit code 3", "killed by SIGSEGV (11), core dumped", "killed for calling mount
/// (165)". `status` is wait(2)'s, `system_call` that of launcher::Exited.
[[nodiscard]] std::string describe_exit(int status, std::int32_t system_call = -1);

/// The last of these, why, and what to do about it.
[[nodiscard]] std::string explain_system_call(std::int32_t system_call, const std::string& module);

/// The same, and whether the kernel did it: "killed by the kernel: out of memory (memory.max 256M)".
[[nodiscard]] std::string describe_exit(const launcher::Exited& exited, const launcher::ProcessPlan& plan);

} // namespace belay::manager
