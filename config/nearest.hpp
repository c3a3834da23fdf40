// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace belay::config {

/// The candidate that `name` was probably meant to be (edit distance, case ignored); empty if none is near.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

/// "did you mean `X`?", or else the choice of valid names if it is short; empty if there is nothing useful to say.
std::string suggest(std::string_view name, const std::vector<std::string>& candidates);

} // namespace belay::config
