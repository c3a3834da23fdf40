// SPDX-License-Identifier: Apache-2.0
//
// Becoming somebody else, or more than the plan says.

#include "tests/attack/attempt.hpp"

#include <array>

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace attack {

namespace {

using Data = std::array<__user_cap_data_struct, 2>;

Data capabilities()
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    Data data{};
    ::syscall(SYS_capget, &header, data.data());
    return data;
}

long set_capabilities(Data data)
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    return ::syscall(SYS_capset, &header, data.data());
}

Outcome real_id(const Context& /*unused*/)
{
    return judge(::setuid(0));
}

Outcome all_ids(const Context& /*unused*/)
{
    return judge(::setresuid(0, 0, 0));
}

Outcome effective_id(const Context& /*unused*/)
{
    return judge(::syscall(SYS_setreuid, -1, 0));
}

Outcome group_id(const Context& /*unused*/)
{
    return judge(::setgid(0));
}

Outcome all_group_ids(const Context& /*unused*/)
{
    return judge(::setresgid(0, 0, 0));
}

Outcome groups(const Context& /*unused*/)
{
    const gid_t root = 0;
    return judge(::setgroups(1, &root));
}

/// It has no error to return: the second call tells what the first one did.
Outcome file_system_id(const Context& /*unused*/)
{
    ::setfsuid(0);
    return ::setfsuid(static_cast<uid_t>(-1)) == 0 ? escaped("") : refused(EPERM);
}

Outcome file_system_group(const Context& /*unused*/)
{
    ::setfsgid(0);
    return ::setfsgid(static_cast<gid_t>(-1)) == 0 ? escaped("") : refused(EPERM);
}

Outcome raise_more(const Context& /*unused*/)
{
    auto data = capabilities();
    constexpr auto more = 1U << CAP_DAC_OVERRIDE | 1U << CAP_NET_ADMIN | 1U << CAP_SETUID;
    data[0].permitted |= more;
    data[0].effective |= more;
    return judge(set_capabilities(data));
}

Outcome inherit_more(const Context& /*unused*/)
{
    auto data = capabilities();
    data[0].inheritable |= 1U << CAP_NET_ADMIN;
    return judge(set_capabilities(data));
}

Outcome raise_ambient(const Context& /*unused*/)
{
    auto data = capabilities();
    data[0].inheritable |= 1U << CAP_SYS_PTRACE;
    set_capabilities(data);
    return judge(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_PTRACE, 0, 0));
}

Outcome unlock_securebits(const Context& /*unused*/)
{
    return judge(::prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS, 0, 0, 0));
}

Outcome keep_capabilities(const Context& /*unused*/)
{
    return judge(::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
}

/// What is in it could come back by a file capability.
Outcome bounding_set(const Context& context)
{
    const auto declared = context.number("declared");
    for (int number = 0; ::prctl(PR_CAPBSET_READ, number, 0, 0, 0) >= 0; ++number)
        if (::prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1 && (declared >> number & 1) == 0)
            return escaped("capability " + std::to_string(number) + " is in it");
    return refused(0, "it is what was declared");
}

/// Whatever /proc says of our own sets.
Outcome more_than_declared(const Context& context)
{
    const auto data = capabilities();
    const auto held = data[0].permitted | data[0].effective | data[0].inheritable |
                      (std::uint64_t{data[1].permitted | data[1].effective | data[1].inheritable} << 32U);
    return (held & ~static_cast<std::uint64_t>(context.number("declared"))) != 0 ? escaped("")
                                                                                 : refused(0, "what was declared");
}

constexpr std::array table{
    Attempt{"identities", "setuid(0)", "be root", real_id},
    Attempt{"identities", "setresuid(0, 0, 0)", "be root", all_ids},
    Attempt{"identities", "setreuid(-1, 0)", "be root", effective_id},
    Attempt{"identities", "setgid(0)", "be in root's group", group_id},
    Attempt{"identities", "setresgid(0, 0, 0)", "be in root's group", all_group_ids},
    Attempt{"identities", "setgroups(root)", "be in root's group", groups},
    Attempt{"identities", "setfsuid(0)", "open files as root", file_system_id},
    Attempt{"identities", "setfsgid(0)", "open files as root's group", file_system_group},
    Attempt{"capabilities", "hold more than declared", "hold more than declared", more_than_declared},
    Attempt{"capabilities", "capset: permitted", "hold more than declared", raise_more},
    Attempt{"capabilities", "capset: inheritable", "pass on more than declared", inherit_more},
    Attempt{"capabilities", "raise an ambient one", "pass on more than declared", raise_ambient},
    Attempt{"capabilities", "unlock the securebits", "make uid 0 mean root again", unlock_securebits},
    Attempt{"capabilities", "PR_SET_KEEPCAPS", "keep capabilities over setuid", keep_capabilities},
    Attempt{"capabilities", "PR_CAPBSET_READ: any left", "leave a file capability any effect", bounding_set},
};

} // namespace

std::span<const Attempt> identities()
{
    return table;
}

} // namespace attack
