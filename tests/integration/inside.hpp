// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

/// What this process is, as it sees itself: proc(5), prctl(2), getrlimit(2).
namespace standin {

/// Ids, groups, capability sets, securebits, signal mask, descriptors, environment, limits, session, parent, argv.
nlohmann::json inside(int argc, char** argv);

/// Tries to become more than it is, each attempt in a child of its own: name → errno, 0 if it succeeded.
nlohmann::json attempts();

} // namespace standin
