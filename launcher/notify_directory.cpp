// SPDX-License-Identifier: Apache-2.0
#include "launcher/notify_directory.hpp"

#include "launcher/complaint.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/errno_text.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace belay::launcher {

void NotifyDirectory::remove() noexcept
{
    if (plan_.notify_directory.empty() || std::exchange(removed_, true))
        return;
    const char* path = plan_.notify_directory.c_str();
    const FileDescriptor directory{::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    std::array<char, 24> name{};
    for (std::size_t i = 0; directory && i < plan_.modules.size(); ++i) {
        std::snprintf(name.data(), name.size(), "%zu", i);
        ::unlinkat(directory.get(), name.data(), 0); // most modules have none; what is left shows below
    }
    if (::rmdir(path) != 0)
        complain("could not remove %s: %s", path, errno_text(errno));
}

} // namespace belay::launcher
