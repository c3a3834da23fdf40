// SPDX-License-Identifier: Apache-2.0
#include "manager/stray_processes.hpp"

#include <charconv>
#include <csignal>
#include <filesystem>
#include <set>
#include <string>
#include <system_error>

#include <unistd.h>

namespace belay::manager {

namespace {

/// Whoever is new among them. The manager's filter refuses kill(2) of -1, so there is one for each.
bool kill_each(std::set<pid_t>& killed)
{
    bool found = false;
    std::error_code error;
    for (std::filesystem::directory_iterator entry{"/proc", error}, end; !error && entry != end;
         entry.increment(error)) {
        const auto name = entry->path().filename().string();
        pid_t pid = 0;
        const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (parsed.ptr != name.data() + name.size() || pid <= 1 || pid == ::getpid())
            continue;
        found = (::kill(pid, SIGKILL) == 0 && killed.insert(pid).second) || found;
    }
    return found;
}

} // namespace

void kill_all_within_reach()
{
    constexpr int most_rounds = 100; // whoever forks meanwhile is found by the next one
    std::set<pid_t> killed;
    for (int round = 0; round < most_rounds && kill_each(killed); ++round) {
    }
}

} // namespace belay::manager
