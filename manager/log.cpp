// SPDX-License-Identifier: Apache-2.0
#include "manager/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ansicolor_sink.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

namespace belay::manager {

namespace {

/// `%*`: sd-daemon(3)'s priority prefix.
class PriorityFlag : public spdlog::custom_flag_formatter
{
public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override
    {
        constexpr std::array<std::string_view, 7> prefixes{"<7>", "<7>", "<6>", "<4>", "<3>", "<2>", "<6>"};
        const auto prefix = prefixes.at(std::min(static_cast<std::size_t>(message.level), prefixes.size() - 1));
        out.append(prefix.data(), prefix.data() + prefix.size());
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override
    {
        return std::make_unique<PriorityFlag>();
    }
};

bool is_journal(const char* stream)
{
    struct stat status
    {};
    if (stream == nullptr || fstat(STDERR_FILENO, &status) != 0)
        return false;
    return std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) == stream;
}

} // namespace

LogStyle detect_log_style()
{
    if (is_journal(std::getenv("JOURNAL_STREAM")))
        return LogStyle::journal;
    const char* no_color = std::getenv("NO_COLOR");
    const bool color = no_color == nullptr || *no_color == '\0';
    return color && isatty(STDERR_FILENO) == 1 ? LogStyle::coloured : LogStyle::plain;
}

std::shared_ptr<spdlog::logger> make_log(LogStyle style)
{
    const auto mode = style == LogStyle::coloured ? spdlog::color_mode::always : spdlog::color_mode::never;
    auto log =
        std::make_shared<spdlog::logger>("manager", std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>(mode));
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<PriorityFlag>('*').set_pattern(style == LogStyle::journal ? "%*%v" : "%^%l%$: %v");
    log->set_formatter(std::move(formatter));
    log->set_level(isatty(STDERR_FILENO) == 1 ? spdlog::level::debug : spdlog::level::info);
    log->flush_on(spdlog::level::trace);
    return log;
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
