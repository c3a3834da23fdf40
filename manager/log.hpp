// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <spdlog/logger.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

/// The manager's own lines, on standard error.
namespace belay::manager {

enum class LogStyle
{
    plain,    ///< "error: text"
    coloured, ///< the same, the level coloured
    journal,  ///< "<3>text", sd-daemon(3)
};

/// Colour only on a terminal and without NO_COLOR; priorities if standard error is the journal's (JOURNAL_STREAM).
[[nodiscard]] LogStyle detect_log_style();

/// On a terminal, coloured or not, also debug lines.
[[nodiscard]] std::shared_ptr<spdlog::logger> make_log(LogStyle style);

/// What came from outside, made fit for a log line: control and non-ASCII bytes as `?`, cut to `limit` bytes.
[[nodiscard]] std::string printable(std::string_view untrusted, std::size_t limit = 80);

/// "1 module", "2 modules".
[[nodiscard]] std::string counted(std::size_t number, std::string_view noun);

/// Lets a few lines of a kind pass at once, then one every ten seconds.
class RateLimit
{
public:
    using Clock = std::chrono::steady_clock;

    /// The number of lines of this kind that were withheld before, if one may be written now.
    [[nodiscard]] std::optional<std::uint64_t> admit(std::string_view kind, Clock::time_point now = Clock::now());

private:
    struct Bucket
    {
        int tokens = 0;
        Clock::time_point refilled;
        std::uint64_t withheld = 0;
    };
    std::map<std::string, Bucket, std::less<>> buckets_;
};

} // namespace belay::manager
