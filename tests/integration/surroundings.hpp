// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>

namespace standin {

/// What is around this process, as it sees it: its priorities, mounts, network devices, and what it reaches of a few
/// files and ports (0 or an errno).
nlohmann::json surroundings();

} // namespace standin
