// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace belay::config {

/// "`a`, `b` or `c`", for a sentence; `before_last` stands between the last two. Empty for none.
std::string quoted_list(const std::vector<std::string>& items, std::string_view before_last = ", ");

} // namespace belay::config
