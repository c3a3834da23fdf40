// SPDX-License-Identifier: Apache-2.0
#include "manager/vitals.hpp"

#include "manager/file_text.hpp"

#include <charconv>
#include <filesystem>
#include <fmt/format.h>
#include <system_error>
#include <utility>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

std::optional<std::uint64_t> number_after(std::string_view text, std::string_view key)
{
    const auto at = text.find(key);
    if (at == std::string_view::npos)
        return std::nullopt;
    text.remove_prefix(at + key.size());
    text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
    std::uint64_t value = 0;
    const auto done = std::from_chars(text.data(), text.data() + text.size(), value);
    return done.ec == std::errc{} ? std::optional{value} : std::nullopt;
}

const char* describe(char state)
{
    switch (state) {
    case 'T':
        return "stopped (state T)";
    case 't':
        return "stopped by a tracer (state t)";
    default:
        return "waiting in the kernel without progress (state D)";
    }
}

} // namespace

char state_of(std::string_view stat)
{
    const auto end_of_name = stat.rfind(") ");
    return end_of_name == std::string_view::npos || end_of_name + 2 >= stat.size() ? '\0' : stat[end_of_name + 2];
}

std::optional<std::uint64_t> switches_of(std::string_view status)
{
    const auto voluntary = number_after(status, "\nvoluntary_ctxt_switches:");
    const auto others = number_after(status, "\nnonvoluntary_ctxt_switches:");
    return voluntary && others ? std::optional{*voluntary + *others} : std::nullopt;
}

std::optional<std::vector<HeldThread>> held_threads(pid_t process)
{
    std::error_code error;
    const fs::path tasks = "/proc/" + std::to_string(process) + "/task";
    std::vector<HeldThread> result;
    for (fs::directory_iterator at{tasks, error}, end; !error && at != end; at.increment(error)) {
        const char state = state_of(text_of(at->path() / "stat"));
        if (state != 'T' && state != 't' && state != 'D')
            continue;
        if (const auto switches = switches_of(text_of(at->path() / "status"))) // otherwise it has just ended
            result.push_back({std::stoi(at->path().filename().string()), state, *switches});
    }
    // Who has ended is in /proc until the launcher has reaped it; then it is said to have ended anyway.
    if (error && error != std::errc::no_such_file_or_directory && error != std::errc::no_such_process)
        return std::nullopt;
    return result;
}

std::optional<std::string> Pulse::look(const std::vector<HeldThread>& held, pid_t process, Duration now,
                                       Duration longest)
{
    std::optional<std::string> why;
    const auto before = std::exchange(held_, {});
    for (const auto& thread : held) {
        const auto found = before.find(thread.thread);
        const bool same = found != before.end() && found->second.thread.state == thread.state &&
                          found->second.thread.switches == thread.switches;
        const auto since = same ? found->second.since : now;
        held_[thread.thread] = {thread, since};
        if (why || !same || now - since < longest)
            continue;
        const auto seconds = std::chrono::duration<double>{now - since}.count();
        const auto whose = thread.thread == process ? std::string{} : fmt::format("thread {} is ", thread.thread);
        why = fmt::format("{}{} for {:.1f} s", whose, describe(thread.state), seconds);
    }
    return why;
}

} // namespace belay::manager
