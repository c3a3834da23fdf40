// SPDX-License-Identifier: Apache-2.0
//
// delegate DIRECTORY PROGRAM ARGUMENT…: what systemd does for a unit with Delegate=yes: makes a control group, marks it
// as delegated, enters it and executes the program.
#include <cstdio>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

int main(int argc, char** argv)
{
    if (argc < 3)
        return 2;
    const std::string directory = argv[1];
    if (::mkdir(directory.c_str(), 0755) == 0 && ::setxattr(directory.c_str(), "trusted.delegate", "1", 1, 0) == 0) {
        const int processes = ::open((directory + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
        if (processes >= 0 && ::write(processes, "0", 1) == 1)
            ::execv(argv[2], argv + 2);
    }
    std::perror("delegate");
    return 1;
}
