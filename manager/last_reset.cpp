// SPDX-License-Identifier: Apache-2.0
#include "manager/last_reset.hpp"

#include "launcher/durable_file.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/step_record.hpp"
#include "launcher/trust.hpp"
#include "launcher/watchdog.hpp"
#include "manager/file_text.hpp"
#include "manager/log.hpp"
#include "manager/service_directory.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view boot_key = "boot ";
constexpr const char* explanation_file = "last-reset";
constexpr const char* first_watchdog = "/dev/watchdog0";

std::string this_boot()
{
    auto id = text_of("/proc/sys/kernel/random/boot_id");
    return id.substr(0, id.find('\n'));
}

std::optional<unsigned> boot_status_of(const std::string& device)
{
    const auto text = launcher::watchdog_attribute(device.empty() ? first_watchdog : device, "bootstatus");
    unsigned value = 0;
    const auto done = std::from_chars(text.data(), text.data() + text.size(), value);
    return done.ec == std::errc{} && !text.empty() ? std::optional{value} : std::nullopt;
}

struct Flag
{
    unsigned bit;
    const char* name;
};
constexpr std::array flags{Flag{WDIOF_CARDRESET, "CARDRESET"}, Flag{WDIOF_OVERHEAT, "OVERHEAT"},
                           Flag{WDIOF_FANFAULT, "FANFAULT"},   Flag{WDIOF_EXTERN1, "EXTERN1"},
                           Flag{WDIOF_EXTERN2, "EXTERN2"},     Flag{WDIOF_POWERUNDER, "POWERUNDER"},
                           Flag{WDIOF_POWEROVER, "POWEROVER"}};

std::string names_of(unsigned status)
{
    std::string result;
    for (const auto& [bit, name] : flags)
        if ((status & bit) != 0)
            result += (result.empty() ? "" : ", ") + std::string{name};
    return result.empty() ? "0" : result;
}

std::string cause(std::optional<unsigned> boot_status)
{
    if (!boot_status)
        return "The machine went down without a stop of the charger; there is no watchdog that tells why.";
    const auto told = "WDIOC_GETBOOTSTATUS: " + names_of(*boot_status);
    if ((*boot_status & WDIOF_CARDRESET) != 0)
        return "The watchdog has reset the machine (" + told + ").";
    return "The machine went down without a stop of the charger, and not by the watchdog (" + told +
           "): a power cut, a panic of the kernel, or a reset by hand.";
}

/// "1764010000 abort-module …" with a time that people can read.
std::string readable(const std::string& line)
{
    std::int64_t seconds = 0;
    const auto done = std::from_chars(line.data(), line.data() + line.size(), seconds);
    constexpr std::int64_t last = 253'402'300'799; // of the year 9999
    if (done.ec != std::errc{} || seconds < 0 || seconds > last)
        return line;
    return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC{}", fmt::gmtime(static_cast<std::time_t>(seconds)),
                       std::string_view{done.ptr, line.data() + line.size()});
}

bool begins_with_step(std::string_view line, std::string_view step)
{
    const auto space = line.find(' ');
    return space != std::string_view::npos && line.substr(space + 1).starts_with(step);
}

/// Others than root could make root write elsewhere, or make up what happened. Empty: nobody can.
std::string objection_to(const fs::path& directory, uid_t trusted_owner)
{
    const auto opened = launcher::open_trusted(directory.string(), ::geteuid() == 0 ? trusted_owner : ::geteuid());
    struct stat status
    {};
    if (!opened)
        return opened.error();
    if (::fstat(opened->get(), &status) != 0)
        return directory.string() + ": " + errno_text(errno);
    if (!S_ISDIR(status.st_mode))
        return directory.string() + ": is no directory";
    // Sticky is not enough: whoever makes a file first owns it.
    return (status.st_mode & (S_IWGRP | S_IWOTH)) == 0 ? std::string{}
                                                       : directory.string() + ": others can write it; chmod go-w";
}

std::optional<std::string> explanation(const fs::path& directory, const std::string& device)
{
    const auto steps = parse_steps(text_of(directory / launcher::StepRecord::file_name));
    return steps.boot.empty() || steps.boot == this_boot() ? std::nullopt : explain_end(steps, boot_status_of(device));
}

} // namespace

Steps parse_steps(std::string_view text)
{
    Steps result;
    while (!text.empty()) {
        const auto line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (line.starts_with(boot_key))
            result = {std::string{line.substr(boot_key.size())}, {}};
        else if (!line.empty())
            result.lines.push_back(printable(line, line.size()));
    }
    return result;
}

std::optional<std::string> explain_end(const Steps& steps, std::optional<unsigned> boot_status)
{
    const bool by_watchdog = boot_status && (*boot_status & WDIOF_CARDRESET) != 0;
    const bool stopped = !steps.lines.empty() && begins_with_step(steps.lines.back(), "stopped");
    if (steps.lines.empty() || (stopped && !by_watchdog))
        return std::nullopt;
    constexpr std::size_t most = 16;
    auto result = cause(boot_status);
    if (stopped)
        result +=
            "\nThe charger was stopped in order before: the watchdog cannot be stopped (nowayout), or somebody else "
            "has started it and did not feed it.";
    if (begins_with_step(steps.lines.back(), "started"))
        result += "\nNo step was taken before: whoever would have taken one had no time for it, or did not run.";
    result += "\nThe last steps of the charger:";
    const auto first = steps.lines.size() - std::min(steps.lines.size(), most);
    for (auto line = steps.lines.begin() + static_cast<std::ptrdiff_t>(first); line != steps.lines.end(); ++line)
        result += "\n  " + readable(*line);
    return result;
}

fs::path state_directory(const fs::path& prefix, const std::map<std::string, std::string>& environment)
{
    if (auto given = service_directory(environment, "STATE_DIRECTORY"); !given.empty())
        return given;
    return (prefix == "/usr" ? fs::path{"/"} : prefix) / "var/lib/everest";
}

TakenUp take_up_record(const config::Configuration& configuration,
                       const std::map<std::string, std::string>& environment, launcher::LaunchPlan& plan)
{
    const auto directory = fs::absolute(state_directory(configuration.settings.prefix, environment));
    std::error_code error;
    fs::create_directories(directory, error);
    auto why = error ? directory.string() + ": " + error.message() : objection_to(directory, plan.trusted_owner);
    std::string news;
    if (why.empty())
        news = explanation(directory, plan.watchdog.device).value_or("");
    if (!news.empty()) {
        const FileDescriptor open{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        if (const int failed = open ? launcher::replace_durably(open.get(), explanation_file, news + '\n') : errno;
            failed != 0)
            why = directory.string() + ": " + errno_text(failed);
    }
    if (!why.empty())
        return {news, why};
    plan.watchdog.record_directory = directory.string();
    const auto text = text_of(directory / launcher::StepRecord::file_name);
    plan.watchdog.history = parse_steps(text).boot == this_boot() ? text : std::string{boot_key} + this_boot() + '\n';
    return {news, {}};
}

int print_last_reset(const config::LoadOptions& options)
{
    std::error_code error;
    const auto wanted = config::wanted_prefix(options);
    const auto prefix = fs::canonical(wanted, error);
    const auto directory = state_directory(error ? wanted : prefix, options.environment);
    auto text = explanation(directory, {}).value_or(text_of(directory / explanation_file));
    while (text.ends_with('\n'))
        text.pop_back();
    std::printf("%s\n", text.empty() ? ("No reset is known; records are in " + directory.string() + ".").c_str()
                                     : text.c_str());
    return 0;
}

} // namespace belay::manager
