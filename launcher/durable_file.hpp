// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace belay::launcher {

/// Makes `text` the content of the file `name` in `directory`: after a power cut or a reset at any moment it is either
/// the old or the new one. Mode 0644; the draft is `name` with `draft_suffix`, and goes when it fails. Returns
/// 0 or an errno. Allocates nothing.
int replace_durably(int directory, const char* name, std::string_view text) noexcept;

constexpr std::string_view draft_suffix = ".new";

} // namespace belay::launcher
