// SPDX-License-Identifier: Apache-2.0
#include "launcher/durable_file.hpp"

#include "launcher/descriptor.hpp"
#include "launcher/write_all.hpp"

#include <climits>

#include <array>
#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::launcher {

int replace_durably(int directory, const char* name, std::string_view text) noexcept
{
    std::array<char, NAME_MAX + 1> draft{};
    const int size = std::snprintf(draft.data(), draft.size(), "%s%s", name, draft_suffix.data());
    if (size < 0 || static_cast<std::size_t>(size) >= draft.size())
        return ENAMETOOLONG;
    constexpr mode_t mode = 0644;
    const FileDescriptor file{
        ::openat(directory, draft.data(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode)};
    if (!file)
        return errno;
    const auto give_up = [&](int error) { // on a full disk, half a draft would take what room there is
        ::unlinkat(directory, draft.data(), 0);
        return error;
    };
    // fchmod: whoever reads it is not root, whatever umask root was started with.
    if (::fchmod(file.get(), mode) != 0)
        return give_up(errno);
    if (const int error = write_all(file.get(), text); error != 0)
        return give_up(error);
    if (::fsync(file.get()) != 0 || ::renameat(directory, draft.data(), directory, name) != 0)
        return give_up(errno);
    return ::fsync(directory) == 0 ? 0 : errno;
}

} // namespace belay::launcher
