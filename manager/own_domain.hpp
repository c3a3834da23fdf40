// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/plan.hpp"
#include "manager/options.hpp"

#include <optional>
#include <string>
#include <string_view>

/// The signal domain (launcher/signal_domain.hpp) that both halves and the modules are in, from one reload to the next.
namespace belay::manager {

/// Proved while this is root: who it cannot signal now, neither half ever can. Domains nest: a reload stays in its own.
/// `plan` says whether there is one, and hands that on.
void confine_signals(launcher::LaunchPlan& plan, const Options& options);

/// Why the plan takes a restart, where a domain, which is never left, is there already: a whole sentence.
std::optional<std::string> demand_on_domain(const launcher::LaunchPlan& plan, const Options& options);

/// Of the environment: what hands it on, and says nothing of who is executed next.
bool is_domain_variable(std::string_view name);

} // namespace belay::manager
