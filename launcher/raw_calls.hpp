// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cerrno>

#include <sys/syscall.h>
#include <unistd.h>

/// What children share between fork and exec or exit: system calls without the C library's ideas about threads.

// Where a 32-bit architecture once had 16-bit ids, the calls of today carry another name.
#ifdef SYS_setresuid32
#define BELAY_ID_CALL(name) SYS_##name##32
#else
#define BELAY_ID_CALL(name) SYS_##name
#endif

namespace belay::launcher {

inline int errno_of(long result) noexcept
{
    return result < 0 ? errno : 0;
}

inline int close_between(unsigned first, unsigned last) noexcept
{
    return first <= last ? errno_of(::syscall(SYS_close_range, first, last, 0)) : 0;
}

/// Standard input, output and error stay, too. Neither is below them; they may be the same.
inline int close_all_but(int one, int other) noexcept
{
    constexpr unsigned first = STDERR_FILENO + 1;
    const auto low = static_cast<unsigned>(std::min(one, other));
    const auto high = static_cast<unsigned>(std::max(one, other));
    if (const int error = close_between(first, low - 1); error != 0)
        return error;
    if (const int error = close_between(low + 1, high - 1); error != 0)
        return error;
    return close_between(high + 1, ~0U);
}

/// What verify() returns: something differs from the plan although every call had claimed success.
constexpr int mismatch = EBADE;

} // namespace belay::launcher
