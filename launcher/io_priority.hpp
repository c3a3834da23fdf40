// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

/// The constants of ioprio_set(2), for which the C library has no header; those of the kernel's <linux/ioprio.h> cannot
/// be had in C++ everywhere: since some versions it has a function with a parameter named `class`.
namespace belay {

enum IoPriorityOf : int
{
    io_of_process = 1,
    io_of_group = 2,
    io_of_user = 3
};

enum IoClass : std::int32_t
{
    io_realtime = 1,
    io_best_effort = 2,
    io_idle = 3
};

/// `level`: 0, the most urgent, to 7; the idle class has none.
constexpr std::int32_t io_priority(std::int32_t io_class, std::int32_t level) noexcept
{
    constexpr int class_shift = 13;
    return io_class << class_shift | (io_class == io_idle ? 0 : level);
}

} // namespace belay
