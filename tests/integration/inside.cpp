// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/inside.hpp"

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>

#include <linux/capability.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace standin {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

/// The lines `Name:\tvalue` of /proc/self/status.
json status()
{
    json result;
    std::ifstream file{"/proc/self/status"};
    for (std::string line; std::getline(file, line);) {
        const auto colon = line.find(':');
        const auto begin = line.find_first_not_of(" \t", colon + 1);
        if (colon != std::string::npos)
            result[line.substr(0, colon)] = begin == std::string::npos ? "" : line.substr(begin);
    }
    return result;
}

json descriptors()
{
    auto result = json::object();
    std::error_code error;
    for (const auto& entry : fs::directory_iterator{"/proc/self/fd", error}) {
        const auto target = fs::read_symlink(entry.path(), error).string();
        if (target.find("/proc/") != 0 || target.find("/fd") == std::string::npos) // not this very directory
            result[entry.path().filename().string()] = target;
    }
    return result;
}

json environment()
{
    auto result = json::object();
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        const auto equals = text.find('=');
        result[text.substr(0, equals)] = equals == std::string::npos ? "" : text.substr(equals + 1);
    }
    return result;
}

json limits()
{
    json result;
    for (const auto& [name, resource] : {std::pair{"NOFILE", RLIMIT_NOFILE},
                                         {"CORE", RLIMIT_CORE},
                                         {"NPROC", RLIMIT_NPROC},
                                         {"MEMLOCK", RLIMIT_MEMLOCK}}) {
        rlimit value{};
        if (::getrlimit(resource, &value) == 0)
            result[name] = {value.rlim_cur, value.rlim_max};
    }
    return result;
}

template <typename Action>
int attempt(Action action)
{
    const pid_t child = ::fork();
    if (child == 0)
        ::_exit(action() < 0 ? errno : 0);
    int how = 0;
    if (child < 0 || ::waitpid(child, &how, 0) != child)
        return -1;
    return WIFEXITED(how) ? WEXITSTATUS(how) : -WTERMSIG(how);
}

long gain_capabilities()
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct all{~0U, ~0U, ~0U};
    const __user_cap_data_struct data[]{all, {1, 1, 1}};
    return ::syscall(SYS_capset, &header, data);
}

} // namespace

json inside(int argc, char** argv)
{
    const mode_t mask = ::umask(0);
    ::umask(mask);
    int death_signal = 0;
    ::prctl(PR_GET_PDEATHSIG, &death_signal);
    std::error_code error;
    json result{{"status", status()},
                {"securebits", ::prctl(PR_GET_SECUREBITS)},
                {"no_new_privs", ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)},
                {"dumpable", ::prctl(PR_GET_DUMPABLE)},
                {"pdeathsig", death_signal},
                {"umask", mask},
                {"descriptors", descriptors()},
                {"environment", environment()},
                {"limits", limits()},
                {"pid", ::getpid()},
                {"ppid", ::getppid()},
                {"sid", ::getsid(0)},
                {"pgid", ::getpgid(0)},
                {"cwd", fs::current_path(error).string()},
                {"argv", json::array()}};
    for (int i = 0; i < argc; ++i)
        result["argv"].push_back(argv[i]);
    return result;
}

json attempts()
{
    const pid_t parent = ::getppid();
    return {{"setuid", attempt([] { return ::setresuid(0, 0, 0); })},
            {"capset", attempt([] { return gain_capabilities(); })},
            {"user_namespace", attempt([] { return ::unshare(CLONE_NEWUSER); })},
            {"mount", attempt([] {
                 const bool own =
                     ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
                 return own ? ::mount("tmpfs", "/mnt", "tmpfs", 0, nullptr) : -1;
             })},
            {"trace_parent", attempt([=] { return ::ptrace(PTRACE_SEIZE, parent, nullptr, nullptr); })},
            {"raw_socket", attempt([] { return ::socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)); })}};
}

} // namespace standin
