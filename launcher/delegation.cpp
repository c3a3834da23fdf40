// SPDX-License-Identifier: Apache-2.0
#include "launcher/delegation.hpp"

#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

#include <sys/xattr.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

/// The path of cgroups(7)'s "0::PATH", as seen from the root of this process's cgroup namespace.
std::optional<std::string> own_path()
{
    std::ifstream file{"/proc/self/cgroup"};
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("0::/"))
            return line.substr(3);
    return std::nullopt;
}

struct Mount
{
    std::string root; ///< which cgroup is mounted; "/" but in odd containers
    std::string target;
};

/// proc_pid_mountinfo(5): "36 35 98:0 ROOT TARGET options … - cgroup2 …"
std::optional<Mount> find_mount()
{
    std::ifstream file{"/proc/self/mountinfo"};
    for (std::string line; std::getline(file, line);) {
        if (line.find(" - cgroup2 ") == std::string::npos)
            continue;
        std::istringstream fields{line};
        std::string skipped;
        Mount result;
        if (fields >> skipped >> skipped >> skipped >> result.root >> result.target)
            return result;
    }
    return std::nullopt;
}

bool is_delegated(const std::string& directory)
{
    for (const auto* name : {"trusted.delegate", "user.delegate"}) {
        char value = '\0';
        if (::getxattr(directory.c_str(), name, &value, 1) == 1 && value == '1')
            return true;
    }
    return false;
}

std::set<std::string> controllers_of(const std::string& directory)
{
    std::ifstream file{directory + "/cgroup.controllers"};
    std::set<std::string> result;
    for (std::string name; file >> name;)
        result.insert(name);
    return result;
}

} // namespace

Delegation find_delegation()
{
    const auto path = own_path();
    const auto mount = find_mount();
    if (!path || !mount)
        return {};
    std::string_view below = *path;
    if (mount->root != "/") {
        if (!below.starts_with(mount->root))
            return {};
        below.remove_prefix(mount->root.size());
    }
    auto directory = mount->target + std::string{below};
    while (directory.ends_with('/'))
        directory.pop_back();
    const auto leaf = std::string{"/"} + supervisor_leaf;
    if (directory.ends_with(leaf) && !is_delegated(directory))
        directory.resize(directory.size() - leaf.size());
    if (!is_delegated(directory) || ::access((directory + "/cgroup.kill").c_str(), F_OK) != 0)
        return {};
    return {directory, controllers_of(directory)};
}

} // namespace belay::launcher
