// SPDX-License-Identifier: Apache-2.0
//
// refuse CALL[,CALL…] ERRNO PROGRAM [ARGUMENT…]: executes PROGRAM where these system calls fail so, as on a kernel that
// does not know them or in a container whose profile refuses them. Needs root.
#include <seccomp.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>

#include <unistd.h>

namespace {

/// Of its name; 0: there is none.
unsigned short errno_of(const char* name)
{
    constexpr int last = 133;
    for (int number = 1; number <= last; ++number)
        if (const char* found = ::strerrorname_np(number); found != nullptr && std::strcmp(found, name) == 0)
            return static_cast<unsigned short>(number);
    return 0;
}

bool refuse(scmp_filter_ctx filter, const std::string& names, unsigned short error)
{
    for (std::size_t begin = 0; begin < names.size();) {
        const auto end = std::min(names.find(',', begin), names.size());
        const int call = ::seccomp_syscall_resolve_name(names.substr(begin, end - begin).c_str());
        if (call == __NR_SCMP_ERROR || ::seccomp_rule_add(filter, SCMP_ACT_ERRNO(error), call, 0) != 0)
            return false;
        begin = end + 1;
    }
    return true;
}

} // namespace

int main(int argc, char** argv)
{
    const std::span<char*> arguments{argv, static_cast<std::size_t>(argc)};
    const auto error = argc > 3 ? errno_of(arguments[2]) : static_cast<unsigned short>(0);
    const scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ALLOW);
    // The program may still gain privileges, as without this.
    if (error == 0 || filter == nullptr || !refuse(filter, arguments[1], error) ||
        ::seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0) != 0 || ::seccomp_load(filter) != 0) {
        std::fprintf(stderr, "refuse: CALL[,CALL…] ERRNO PROGRAM [ARGUMENT…], as root\n");
        return 1;
    }
    ::execv(arguments[3], &arguments[3]);
    std::fprintf(stderr, "refuse: %s: %s\n", arguments[3], std::strerror(errno));
    return 1;
}
