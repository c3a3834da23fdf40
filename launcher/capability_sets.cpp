// SPDX-License-Identifier: Apache-2.0
#include "launcher/capability_sets.hpp"

#include <array>
#include <cerrno>

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr int most_capabilities = 64;

using CapabilityData = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

CapabilityMask join(std::uint32_t low, std::uint32_t high) noexcept
{
    return CapabilityMask{high} << 32U | low;
}

std::uint32_t low(CapabilityMask mask) noexcept
{
    return static_cast<std::uint32_t>(mask);
}

std::uint32_t high(CapabilityMask mask) noexcept
{
    return static_cast<std::uint32_t>(mask >> 32U);
}

constexpr int unknown = -EINVAL; // what the kernel says of a capability beyond its last

/// 1, 0, or a negative errno.
int ask(int option, unsigned long a, unsigned long b) noexcept
{
    const int answer = ::prctl(option, a, b, 0, 0);
    return answer < 0 ? -errno : answer;
}

} // namespace

CapabilityMask all_capabilities() noexcept
{
    CapabilityMask mask = 0;
    for (int number = 0; number < most_capabilities && ask(PR_CAPBSET_READ, static_cast<unsigned long>(number), 0) >= 0;
         ++number)
        mask |= capability(number);
    return mask;
}

int read_capabilities(CapabilitySets& sets) noexcept
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    CapabilityData data{};
    if (::syscall(SYS_capget, &header, data.data()) != 0)
        return errno;
    sets = {join(data[0].permitted, data[1].permitted), join(data[0].effective, data[1].effective),
            join(data[0].inheritable, data[1].inheritable), 0, 0};
    for (int number = 0; number < most_capabilities; ++number) {
        const auto value = static_cast<unsigned long>(number);
        const int bounding = ask(PR_CAPBSET_READ, value, 0);
        if (bounding == unknown)
            return 0;
        const int ambient = bounding < 0 ? bounding : ask(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, value);
        if (ambient < 0)
            return -ambient;
        sets.bounding |= bounding == 1 ? capability(number) : 0;
        sets.ambient |= ambient == 1 ? capability(number) : 0;
    }
    return 0;
}

int set_capabilities(CapabilityMask permitted, CapabilityMask effective, CapabilityMask inheritable) noexcept
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    CapabilityData data{__user_cap_data_struct{low(effective), low(permitted), low(inheritable)},
                        __user_cap_data_struct{high(effective), high(permitted), high(inheritable)}};
    return ::syscall(SYS_capset, &header, data.data()) == 0 ? 0 : errno;
}

int reduce_bounding_set(CapabilityMask kept) noexcept
{
    for (int number = 0; number < most_capabilities; ++number) {
        // Most are gone already; to drop them again would take eight times as long as to see it.
        const int present = ask(PR_CAPBSET_READ, static_cast<unsigned long>(number), 0);
        if (present < 0)
            return present == unknown ? 0 : -present;
        if (present == 0 || (kept & capability(number)) != 0)
            continue;
        if (const int dropped = ask(PR_CAPBSET_DROP, static_cast<unsigned long>(number), 0); dropped < 0)
            return -dropped;
    }
    return 0;
}

int set_ambient(CapabilityMask raised) noexcept
{
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return errno;
    for (int number = 0; number < most_capabilities; ++number)
        if ((raised & capability(number)) != 0 && ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0)
            return errno;
    return 0;
}

} // namespace belay::launcher
