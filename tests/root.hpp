// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>

#include <unistd.h>

/// For test programs of which every case needs root: ctest counts the program as skipped without it.
inline void need_root()
{
    constexpr int skipped = 77; // SKIP_RETURN_CODE in tests/CMakeLists.txt
    if (::geteuid() == 0)
        return;
    std::puts("skipped: needs root");
    std::exit(skipped);
}
