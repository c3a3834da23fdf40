// SPDX-License-Identifier: Apache-2.0
#include "launcher/denied_calls.hpp"

#include "launcher/errno_text.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>

#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

namespace belay::launcher {

namespace {

/// The kernel writes as much as its own version of the structure has, which grows.
constexpr std::size_t room = 512;
static_assert(sizeof(seccomp_notif) <= room);

} // namespace

bool DeniedCalls::judge(short events) noexcept
{
    // Without one to receive, the kernel would keep the launcher waiting.
    if ((events & POLLIN) == 0) {
        listener_.reset(); // nobody is left behind the filter
        return false;
    }
    alignas(seccomp_notif) std::array<std::byte, room> buffer{};
    if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, buffer.data()) != 0)
        return false; // the caller has been killed since, or interrupted
    seccomp_notif denied{};
    std::memcpy(&denied, buffer.data(), sizeof denied);
    if (number_ < 0)
        number_ = denied.data.nr;
    // While the caller waits, its pid is nobody else's.
    const auto caller = static_cast<pid_t>(denied.pid);
    if (caller > 1 && ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &denied.id) == 0)
        ::kill(caller, SIGKILL);
    return true;
}

tl::expected<void, std::string> check_notifications()
{
    seccomp_notif_sizes sizes{};
    if (::syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0)
        return tl::unexpected(std::string{"an allow list of system calls takes Linux 5.5: "} + errno_text(errno));
    if (sizes.seccomp_notif > room)
        return tl::unexpected(std::string{"this kernel describes a denied system call in more bytes than this version "
                                          "of Belay expects"});
    return {};
}

} // namespace belay::launcher
