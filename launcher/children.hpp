// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

#include <sys/types.h>

namespace belay::launcher {

/// Writes the pids of this process's children to `into`, zombies included, and returns how many: as many as fit. A
/// child that ends meanwhile may hide another one; its SIGCHLD is the reason to look again. Single-threaded processes
/// only. Allocates nothing.
std::size_t list_children(std::span<pid_t> into) noexcept;

/// The two ways to know: the kernel's own list, which takes CONFIG_PROC_CHILDREN (-1 without), or a look at each
/// process.
ssize_t list_children_of_kernel(std::span<pid_t> into) noexcept;
std::size_t list_children_by_search(std::span<pid_t> into) noexcept;

} // namespace belay::launcher
