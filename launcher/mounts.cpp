// SPDX-License-Identifier: Apache-2.0
#include "launcher/raw_calls.hpp"
#include "launcher/stage_functions.hpp"

#include <climits>

#include <array>

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

/// As in a container or under systemd's PrivateDevices=: what every program may expect.
constexpr std::array common_devices{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};

struct Link
{
    const char* target;
    const char* path;
};

constexpr std::array links{
    Link{"/proc/self/fd", "/dev/fd"},
    Link{"/proc/self/fd/0", "/dev/stdin"},
    Link{"/proc/self/fd/1", "/dev/stdout"},
    Link{"/proc/self/fd/2", "/dev/stderr"},
    Link{"/run/systemd/journal/dev-log", "/dev/log"},
};

int mount_temporary(const char* target, unsigned long flags, const char* options) noexcept
{
    return errno_of(::mount("tmpfs", target, "tmpfs", MS_NOSUID | flags, options));
}

int change_attributes(const char* target, std::uint64_t set, std::uint64_t clear) noexcept
{
    struct mount_attr attributes
    {};
    attributes.attr_set = set;
    attributes.attr_clr = clear;
    return errno_of(::syscall(SYS_mount_setattr, AT_FDCWD, target, AT_RECURSIVE, &attributes, sizeof attributes));
}

int make_writable(const char* target) noexcept
{
    if (::mount(target, target, nullptr, MS_BIND | MS_REC, nullptr) != 0)
        return errno;
    return change_attributes(target, 0, MOUNT_ATTR_RDONLY);
}

/// Gets hold of a device while /dev still shows it.
int pick_up(const char* device, int& descriptor) noexcept
{
    descriptor = static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, device, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    return errno_of(descriptor);
}

/// The directories between /dev and a device such as /dev/bus/usb/001/002.
int make_directories(const char* path) noexcept
{
    constexpr mode_t mode = 0755;
    std::array<char, PATH_MAX> part{};
    for (std::size_t i = 0; path[i] != '\0' && i + 1 < part.size(); ++i) {
        if (path[i] == '/' && i > 0 && ::mkdir(part.data(), mode) != 0 && errno != EEXIST)
            return errno;
        part.at(i) = path[i];
    }
    return 0;
}

int put_down(int descriptor, const char* path) noexcept
{
    constexpr mode_t mode = 0600;
    if (const int error = make_directories(path); error != 0)
        return error;
    const int point = ::open(path, O_CREAT | O_EXCL | O_RDONLY | O_CLOEXEC, mode);
    if (point < 0)
        return errno;
    ::close(point);
    return errno_of(::syscall(SYS_move_mount, descriptor, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH));
}

/// For every device, the common ones first.
template <typename Action>
int for_each_device(const ModuleStart& start, Action action) noexcept
{
    std::size_t index = 0;
    for (const auto* device : common_devices)
        if (const int error = action(device, start.device_scratch[index++]); error != 0)
            return error;
    for (const auto& device : start.devices)
        if (const int error = action(device.c_str(), start.device_scratch[index++]); error != 0)
            return error;
    return 0;
}

int fill_devices(const ModuleStart& start) noexcept
{
    if (const int error = for_each_device(start, pick_up); error != 0)
        return error;
    if (const int error = mount_temporary("/dev", MS_NOEXEC | MS_STRICTATIME, "mode=0755,size=64k,nr_inodes=1k");
        error != 0)
        return error;
    const auto put = [](const char* path, int& descriptor) noexcept {
        const int error = put_down(descriptor, path);
        ::close(descriptor);
        return error;
    };
    if (const int error = for_each_device(start, put); error != 0)
        return error;
    for (const auto& link : links)
        if (::symlink(link.target, link.path) != 0)
            return errno;
    constexpr mode_t shared = 01777;
    if (::mkdir("/dev/shm", shared) != 0)
        return errno;
    return mount_temporary("/dev/shm", MS_NODEV | MS_NOEXEC, "mode=1777,size=10%");
}

/// Modes are meant as they are written.
int arrange_devices(const ModuleStart& start) noexcept
{
    const auto mask = ::umask(0);
    const int error = fill_devices(start);
    ::umask(mask);
    return error;
}

int take(const ModuleStart& start, const MountStep& step) noexcept
{
    switch (step.kind) {
    case MountStep::Kind::temporary:
        return mount_temporary(step.target.c_str(), MS_NODEV, step.source.c_str());
    case MountStep::Kind::read_only:
        return change_attributes(step.target.c_str(), MOUNT_ATTR_RDONLY, 0);
    case MountStep::Kind::writable:
        return make_writable(step.target.c_str());
    case MountStep::Kind::devices:
        return arrange_devices(start);
    }
    return EINVAL;
}

int verify_step(const MountStep& step) noexcept
{
    struct statfs found
    {};
    if (::statfs(step.target.c_str(), &found) != 0)
        return errno;
    const bool read_only = (found.f_flags & ST_RDONLY) != 0;
    switch (step.kind) {
    case MountStep::Kind::temporary:
    case MountStep::Kind::devices:
        return found.f_type == TMPFS_MAGIC ? 0 : mismatch;
    case MountStep::Kind::read_only:
        return read_only ? 0 : mismatch;
    case MountStep::Kind::writable:
        return read_only ? mismatch : 0;
    }
    return EINVAL;
}

} // namespace

int arrange_mounts(const ModuleStart& start) noexcept
{
    if (start.mounts.empty())
        return 0;
    // Whatever happened before: nobody but the process itself may lose sight of something.
    if (const int error = verify_namespaces(start); error != 0)
        return error;
    // What the host mounts later is seen, what happens here is not seen there.
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
        return errno;
    for (const auto& step : start.mounts)
        if (const int error = take(start, step); error != 0)
            return error;
    return 0;
}

int verify_mounts(const ModuleStart& start) noexcept
{
    for (const auto& step : start.mounts)
        if (const int error = verify_step(step); error != 0)
            return error;
    return 0;
}

std::size_t common_device_count() noexcept
{
    return common_devices.size();
}

} // namespace belay::launcher
