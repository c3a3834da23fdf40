// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/errno_text.hpp"

#include <tl/expected.hpp>

#include <cerrno>
#include <cstdio>
#include <string>

namespace belay::manager {

/// Whether all that was printed has arrived: a full disk, too, shows only here. The error is a sentence.
inline tl::expected<void, std::string> flush_output()
{
    if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0)
        return {};
    return tl::unexpected(std::string{"could not write to standard output: "} + errno_text(errno));
}

} // namespace belay::manager
