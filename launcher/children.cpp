// SPDX-License-Identifier: Apache-2.0
#include "launcher/children.hpp"

#include "launcher/descriptor.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr std::size_t buffer_size = 4096;

/// struct linux_dirent64 of getdents64(2), which the C library keeps to itself.
struct DirectoryEntry
{
    std::uint64_t inode;
    std::int64_t offset;
    unsigned short length;
    unsigned char type;
    char name;
};

pid_t to_pid(std::string_view text) noexcept
{
    pid_t pid = 0;
    const auto end = text.data() + text.size();
    return std::from_chars(text.data(), end, pid).ptr == end ? pid : 0;
}

/// The fourth field of proc_pid_stat(5); the second one is in parentheses and may contain anything. 0: it is gone.
pid_t parent_of(int proc, const char* name) noexcept
{
    std::array<char, 32> path{};
    const auto length = std::strlen(name);
    constexpr std::string_view file = "/stat";
    if (length + file.size() >= path.size())
        return 0;
    std::memcpy(path.data(), name, length);
    std::memcpy(&path[length], file.data(), file.size());
    const FileDescriptor stat{::openat(proc, path.data(), O_RDONLY | O_CLOEXEC)};
    std::array<char, 512> buffer{};
    const auto size = stat ? ::read(stat.get(), buffer.data(), buffer.size()) : -1;
    if (size <= 0)
        return 0;
    const std::string_view text{buffer.data(), static_cast<std::size_t>(size)};
    const auto parent = text.rfind(')') + 4; // ") S 123 "
    const auto end = text.find(' ', parent);
    return parent < text.size() && end != std::string_view::npos ? to_pid(text.substr(parent, end - parent)) : 0;
}

} // namespace

ssize_t list_children_of_kernel(std::span<pid_t> into) noexcept
{
    const FileDescriptor file{::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC)};
    if (!file)
        return -1;
    std::array<char, buffer_size> buffer{};
    std::size_t count = 0;
    pid_t pid = 0;
    ssize_t size = 0;
    while (count < into.size() && (size = ::read(file.get(), buffer.data(), buffer.size())) > 0) {
        for (const char character : std::string_view{buffer.data(), static_cast<std::size_t>(size)}) {
            if (character >= '0' && character <= '9') {
                pid = pid * 10 + (character - '0');
            } else if (pid > 0 && count < into.size()) { // a blank follows each, the last one too
                into[count++] = pid;
                pid = 0;
            }
        }
    }
    return static_cast<ssize_t>(count);
}

std::size_t list_children_by_search(std::span<pid_t> into) noexcept
{
    const FileDescriptor proc{::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    const pid_t self = ::getpid();
    alignas(DirectoryEntry) std::array<char, buffer_size> buffer{};
    std::size_t count = 0;
    long size = 0;
    while ((size = ::syscall(SYS_getdents64, proc.get(), buffer.data(), buffer.size())) > 0) {
        for (long at = 0; at < size && count < into.size();) {
            const auto* entry = reinterpret_cast<const DirectoryEntry*>(&buffer[static_cast<std::size_t>(at)]);
            at += entry->length;
            const pid_t pid = to_pid(&entry->name);
            if (pid > 0 && parent_of(proc.get(), &entry->name) == self)
                into[count++] = pid;
        }
    }
    return count;
}

std::size_t list_children(std::span<pid_t> into) noexcept
{
    const auto count = list_children_of_kernel(into);
    return count >= 0 ? static_cast<std::size_t>(count) : list_children_by_search(into);
}

} // namespace belay::launcher
