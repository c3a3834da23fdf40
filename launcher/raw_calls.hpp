// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>

#include <sys/syscall.h>

/// What the stage functions share: system calls without the C library's ideas about threads.

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

/// What verify() returns: something differs from the plan although every call had claimed success.
constexpr int mismatch = EBADE;

} // namespace belay::launcher
