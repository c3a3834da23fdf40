// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace belay {

/// write(2) until everything is written, whatever interrupts it. Returns 0 or an errno. Allocates nothing.
[[nodiscard]] int write_all(int descriptor, std::string_view bytes) noexcept;

} // namespace belay
