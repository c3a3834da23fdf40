// SPDX-License-Identifier: Apache-2.0
#include "launcher/write_all.hpp"

#include <cerrno>
#include <cstddef>

#include <unistd.h>

namespace belay {

int write_all(int descriptor, std::string_view bytes) noexcept
{
    while (!bytes.empty()) {
        const auto count = ::write(descriptor, bytes.data(), bytes.size());
        if (count < 0 && errno != EINTR)
            return errno;
        bytes.remove_prefix(count < 0 ? 0 : static_cast<std::size_t>(count));
    }
    return 0;
}

} // namespace belay
