// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/inside.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fcntl.h>
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

/// Of cgroups(7), version 2.
std::string control_group()
{
    std::ifstream file{"/proc/self/cgroup"};
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("0::"))
            return line.substr(3);
    return {};
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

/// The launcher's other children: the manager, and the other modules.
std::vector<pid_t> neighbours(pid_t launcher, pid_t self)
{
    std::vector<pid_t> result;
    std::ifstream file{"/proc/" + std::to_string(launcher) + "/task/" + std::to_string(launcher) + "/children"};
    for (pid_t pid = 0; file >> pid;)
        if (pid != self)
            result.push_back(pid);
    return result;
}

/// The first success counts; -1 with errno if there is none.
template <typename Action>
long any(const std::vector<pid_t>& pids, Action action)
{
    errno = ESRCH;
    return std::any_of(pids.begin(), pids.end(), [&](pid_t pid) { return action(pid) >= 0; }) ? 0 : -1;
}

int open_memory(pid_t pid)
{
    return ::open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDWR | O_CLOEXEC);
}

long run_own_program()
{
    const auto path = fs::temp_directory_path() / ("standin-" + std::to_string(::getpid()));
    std::error_code error;
    fs::copy_file("/bin/true", path, error);
    fs::permissions(path, fs::perms::owner_all, error);
    const pid_t child = ::fork();
    if (child == 0) {
        ::execl(path.c_str(), "true", nullptr);
        ::_exit(errno);
    }
    int how = 0;
    ::waitpid(child, &how, 0);
    fs::remove(path, error);
    errno = WEXITSTATUS(how);
    return errno == 0 ? 0 : -1;
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
                {"control_group", control_group()},
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
    const auto others = neighbours(parent, ::getpid());
    return {{"setuid", attempt([] { return ::setresuid(0, 0, 0); })},
            {"capset", attempt([] { return gain_capabilities(); })},
            {"user_namespace", attempt([] { return ::unshare(CLONE_NEWUSER); })},
            {"mount", attempt([] {
                 const bool own =
                     ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
                 return own ? ::mount("tmpfs", "/mnt", "tmpfs", 0, nullptr) : -1;
             })},
            {"trace_parent", attempt([=] { return ::ptrace(PTRACE_SEIZE, parent, nullptr, nullptr); })},
            {"signal_neighbour", attempt([&] { return any(others, [](pid_t pid) { return ::kill(pid, 0); }); })},
            {"trace_neighbour", attempt([&] {
                 return any(others, [](pid_t pid) { return ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr); });
             })},
            {"write_to_neighbour", attempt([&] { return any(others, open_memory); })},
            {"run_own_program", attempt([] { return run_own_program(); })},
            {"raw_socket", attempt([] { return ::socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)); })}};
}

} // namespace standin
