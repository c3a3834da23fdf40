// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

namespace belay::config {

struct NoProgram
{
    std::string what; ///< a sentence
    std::string remedy;
};

/// Fills in program, arguments and environment of one module (everest-docs/wire-protocol.md §2). `guarded`: it has
/// another user or capabilities, so that the dynamic linker and the interpreters must not be steered from outside:
/// nothing of the caller's environment but locale, terminal, broker address and what belay.yaml names is passed on.
tl::expected<void, NoProgram> choose_program(const Configuration& configuration, const Module& module,
                                             const PlanOptions& options, bool guarded, launcher::ProcessPlan& process);

/// The environment every process of the plan starts from.
std::map<std::string, std::string> base_environment(const PlanOptions& options, bool guarded);

std::vector<std::string> flatten(const std::map<std::string, std::string>& environment);

} // namespace belay::config
