// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"

#include <string>

/// Who may see and change whose configuration: wire-protocol.md §4.2. The rules are those of the requester; its own
/// configuration is always open to it.
namespace belay::manager {

[[nodiscard]] bool may_read(const config::Module& requester, const std::string& target);
[[nodiscard]] bool may_write(const config::Module& requester, const std::string& target);

/// A read-only parameter of `target` is shown to the requester as one that can be changed.
[[nodiscard]] bool may_set_read_only(const config::Module& requester, const std::string& target);

} // namespace belay::manager
