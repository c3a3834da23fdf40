// SPDX-License-Identifier: Apache-2.0
#include "manager/log.hpp"

#include "manager/journal.hpp"

#include <spdlog/sinks/ansicolor_sink.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include <syslog.h>
#include <unistd.h>

namespace belay::manager {

namespace {

/// syslog(3)'s.
int priority_of(spdlog::level::level_enum level)
{
    constexpr std::array priorities{LOG_DEBUG, LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR, LOG_CRIT, LOG_INFO};
    return priorities.at(std::min(static_cast<std::size_t>(level), priorities.size() - 1));
}

class JournalSink : public spdlog::sinks::sink
{
public:
    void log(const spdlog::details::log_msg& message) override
    {
        enter(JournalEntry{priority_of(message.level), {message.payload.data(), message.payload.size()}});
    }
    void flush() override {}
    void set_pattern(const std::string& /*pattern*/) override {}
    void set_formatter(std::unique_ptr<spdlog::formatter> /*formatter*/) override {}

    void enter(JournalEntry entry)
    {
        entry.add("SYSLOG_IDENTIFIER", "manager");
        journal_.send(std::move(entry));
    }

    [[nodiscard]] std::unique_ptr<IoWatch> watch(EventLoop& loop) { return journal_.watch(loop); }

private:
    Journal journal_;
};

/// "manager/log.cpp", wherever it was compiled.
std::string_view path_in_source(std::string_view path)
{
    const auto name = path.rfind('/');
    const auto folder = name == std::string_view::npos || name == 0 ? name : path.rfind('/', name - 1);
    return folder == std::string_view::npos ? path : path.substr(folder + 1);
}

JournalSink* journal_of(spdlog::logger& log)
{
    return log.sinks().empty() ? nullptr : dynamic_cast<JournalSink*>(log.sinks().front().get());
}

} // namespace

LogStyle detect_log_style()
{
    if (launcher::is_journal())
        return LogStyle::journal;
    const char* no_color = std::getenv("NO_COLOR");
    const char* terminal = std::getenv("TERM");
    const bool color =
        (no_color == nullptr || *no_color == '\0') && (terminal == nullptr || std::strcmp(terminal, "dumb") != 0);
    return color && isatty(STDERR_FILENO) == 1 ? LogStyle::coloured : LogStyle::plain;
}

std::shared_ptr<spdlog::logger> make_log(LogStyle style)
{
    if (style == LogStyle::journal)
        return std::make_shared<spdlog::logger>("manager", std::make_shared<JournalSink>());
    const auto mode = style == LogStyle::coloured ? spdlog::color_mode::always : spdlog::color_mode::never;
    auto log =
        std::make_shared<spdlog::logger>("manager", std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>(mode));
    log->set_pattern("%^%l%$: %v");
    log->set_level(isatty(STDERR_FILENO) == 1 ? spdlog::level::debug : spdlog::level::info);
    log->flush_on(spdlog::level::trace);
    return log;
}

void log_entry(spdlog::logger& log, spdlog::level::level_enum level, const About& what, const std::string& text,
               const char* file, int line, const char* function)
{
    auto* journal = journal_of(log);
    if (journal == nullptr)
        return log.log(level, text);
    JournalEntry entry{what.message ? std::min(priority_of(level), LOG_INFO) : priority_of(level), text + what.hint};
    if (what.message) {
        entry.add("MESSAGE_ID", type_of(*what.message).id);
        entry.add("EVEREST_EVENT", type_of(*what.message).name);
    }
    entry.add("EVEREST_MODULE", what.module);
    entry.add("EVEREST_PID", what.pid == 0 ? std::string{} : std::to_string(what.pid));
    for (const auto& [name, value] : what.more)
        entry.add(name, value);
    entry.add("CODE_FILE", path_in_source(file));
    entry.add("CODE_LINE", std::to_string(line));
    entry.add("CODE_FUNC", function);
    journal->enter(std::move(entry));
}

std::unique_ptr<IoWatch> watch_journal(spdlog::logger& log, EventLoop& loop)
{
    auto* journal = journal_of(log);
    return journal == nullptr ? nullptr : journal->watch(loop);
}

std::string printable(std::string_view untrusted, std::size_t limit)
{
    std::string text{untrusted.substr(0, limit)};
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return untrusted.size() > limit ? text + "..." : text;
}

std::string counted(std::size_t number, std::string_view noun)
{
    return std::to_string(number) + ' ' + std::string{noun} + (number == 1 ? "" : "s");
}

std::optional<std::uint64_t> RateLimit::admit(std::string_view kind, Clock::time_point now)
{
    constexpr int capacity = 3;
    constexpr auto refill = std::chrono::seconds(10);
    const auto [position, fresh] = buckets_.try_emplace(std::string{kind}, Bucket{capacity, now, 0});
    auto& bucket = position->second;
    const auto due = (now - bucket.refilled) / refill;
    if (due > 0) {
        bucket.tokens = static_cast<int>(std::min<decltype(due)>(capacity, bucket.tokens + due));
        bucket.refilled += due * refill;
    }
    if (bucket.tokens == 0) {
        ++bucket.withheld;
        return std::nullopt;
    }
    --bucket.tokens;
    return std::exchange(bucket.withheld, 0);
}

} // namespace belay::manager
