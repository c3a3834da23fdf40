// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/messages.hpp"
#include "manager/event_loop.hpp"

#include <spdlog/logger.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

/// The manager's own lines, on standard error, or, if that is the journal's, as entries of the journal (journal.hpp).
namespace belay::manager {

enum class LogStyle
{
    plain,    ///< "error: text"
    coloured, ///< the same, the level coloured
    journal,  ///< PRIORITY, MESSAGE and more
};

/// Colour only on a terminal and without NO_COLOR; the journal if standard error is its (JOURNAL_STREAM).
[[nodiscard]] LogStyle detect_log_style();

/// On a terminal, coloured or not, also debug lines.
[[nodiscard]] std::shared_ptr<spdlog::logger> make_log(LogStyle style);

/// What a line is about. The journal has it in fields; elsewhere there is only the text.
struct About
{
    std::optional<JournalMessage> message;                 ///< MESSAGE_ID, EVEREST_EVENT
    std::string module;                                    ///< EVEREST_MODULE; empty: none
    pid_t pid = 0;                                         ///< EVEREST_PID; 0: none
    std::vector<std::pair<const char*, std::string>> more; ///< NAME → value; an empty one is left out
    std::string hint;                                      ///< follows the text in the journal
};

/// What happened, and to whom.
[[nodiscard]] inline About about(JournalMessage message, std::string module = {}, pid_t pid = 0)
{
    return {message, std::move(module), pid, {}, {}};
}

/// Whom a line without a message is about.
[[nodiscard]] inline About about_module(std::string module, pid_t pid = 0)
{
    return {std::nullopt, std::move(module), pid, {}, {}};
}

/// Logs `text` with what it is about, and where in the source this is. In the journal, one with a message is of
/// priority `info` at least.
void log_entry(spdlog::logger& log, spdlog::level::level_enum level, const About& what, const std::string& text,
               const char* file = __builtin_FILE(), int line = __builtin_LINE(),
               const char* function = __builtin_FUNCTION());

/// For as long as the result lives, what the journal did not take at once is given to it when it has room again.
[[nodiscard]] std::unique_ptr<IoWatch> watch_journal(spdlog::logger& log, EventLoop& loop);

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
