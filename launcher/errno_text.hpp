// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>

namespace belay {

/// "Permission denied": strerrordesc_np(3), for any number.
inline const char* errno_text(int error) noexcept
{
    const char* text = ::strerrordesc_np(error);
    return text != nullptr ? text : "unknown error";
}

/// "EACCES": strerrorname_np(3), for any number.
inline const char* errno_name(int error) noexcept
{
    const char* name = ::strerrorname_np(error);
    return name != nullptr ? name : "?";
}

} // namespace belay
