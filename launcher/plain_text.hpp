// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>

namespace belay::launcher {

/// Control characters, line feeds among them, become `substitute`: where one line is one statement, nobody who has a
/// say in it makes two. Bytes of UTF-8 are none, whatever the sign of char.
inline void replace_controls(std::span<char> text, char substitute) noexcept
{
    std::replace_if(
        text.begin(), text.end(), [](unsigned char c) { return c < ' '; }, substitute);
}

} // namespace belay::launcher
