// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plans.hpp"
#include "tests/root.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace launcher_tests {

inline std::filesystem::path mount_point()
{
    std::ifstream mounts{"/proc/self/mounts"};
    std::string device;
    std::string target;
    std::string type;
    for (std::string rest; mounts >> device >> target >> type && std::getline(mounts, rest);)
        if (type == "cgroup2")
            return target;
    return {};
}

/// A directory of cgroup v2, delegated as systemd does it. `path` is empty where there is no cgroup v2 to work in.
class Delegated
{
public:
    Delegated()
    {
        need_root();
        static int count = 0;
        const auto mount = mount_point();
        const auto wanted = mount / ("belay-test-" + std::to_string(::getpid()) + '-' + std::to_string(++count));
        if (mount.empty() || ::mkdir(wanted.c_str(), 0755) != 0) {
            WARN("not tested: there is no cgroup v2 to work in");
            return;
        }
        path = wanted;
        REQUIRE(::setxattr(path.c_str(), "trusted.delegate", "1", 1, 0) == 0);
    }
    ~Delegated()
    {
        if (path.empty())
            return;
        std::ofstream{path / "cgroup.kill"} << 1;
        for (int i = 0; i < 1000 && !read("cgroup.events").starts_with("populated 0"); ++i)
            ::usleep(10000);
        for (const auto& entry : std::filesystem::directory_iterator{path})
            if (entry.is_directory()) {
                ::rmdir((entry.path() / "run").c_str());
                ::rmdir(entry.path().c_str());
            }
        ::rmdir(path.c_str());
    }
    Delegated(const Delegated&) = delete;
    Delegated& operator=(const Delegated&) = delete;
    Delegated(Delegated&&) = delete;
    Delegated& operator=(Delegated&&) = delete;

    [[nodiscard]] std::string read(const std::string& file) const
    {
        std::ifstream stream{path / file};
        return {std::istreambuf_iterator<char>{stream}, {}};
    }

    [[nodiscard]] std::vector<std::string> groups() const
    {
        std::vector<std::string> result;
        for (const auto& entry : std::filesystem::directory_iterator{path})
            if (entry.is_directory())
                result.push_back(entry.path().filename().string());
        return result;
    }

    [[nodiscard]] belay::launcher::LaunchPlan plan(std::vector<belay::launcher::ProcessPlan> modules) const
    {
        belay::launcher::LaunchPlan result;
        result.modules = std::move(modules);
        result.manager = plan_for({"/bin/true"});
        result.manager.program.clear();
        result.stop_timeout_ms = 300;
        result.cgroup = path.string();
        return result;
    }

    std::filesystem::path path;
};

} // namespace launcher_tests
