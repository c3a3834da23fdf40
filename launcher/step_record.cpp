// SPDX-License-Identifier: Apache-2.0
#include "launcher/step_record.hpp"

#include "launcher/clock.hpp"
#include "launcher/complaint.hpp"
#include "launcher/durable_file.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/plain_text.hpp"
#include "launcher/raw_calls.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr unsigned most_at_once = 32;
constexpr std::uint64_t refill_ns = 10 * ns_per_s;
constexpr std::size_t longest_line = 512;
constexpr std::uint64_t between_looks_ns = 10 * ns_per_ms;

/// Whether the child ends in time; it is reaped then. Where there is no descriptor for it, it is looked at again and
/// again.
bool await(pid_t child, std::uint64_t deadline, int& status) noexcept
{
    const FileDescriptor process{static_cast<int>(::syscall(SYS_pidfd_open, child, 0))};
    while (::waitpid(child, &status, WNOHANG) == 0) {
        const auto now = monotonic_ns();
        if (now >= deadline)
            return false;
        pollfd end{process.get(), POLLIN, 0};
        const auto left = deadline - now;
        const timespec timeout = to_timespec(process ? left : std::min(left, between_looks_ns));
        ::ppoll(&end, 1, &timeout, nullptr);
    }
    return true;
}

} // namespace

StepRecord::StepRecord(const WatchdogPlan& plan)
{
    if (plan.record_directory.empty())
        return;
    directory_ = FileDescriptor{::open(plan.record_directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!directory_)
        complain("%s: %s; no step that leads to a reset will be recorded", plan.record_directory.c_str(),
                 errno_text(errno));
    path_ = plan.record_directory + '/' + file_name.data();
    append(std::string_view{plan.history}.substr(0, largest));
}

bool StepRecord::may_write(std::uint64_t now_ns) noexcept
{
    const auto due = (now_ns - refilled_ns_) / refill_ns;
    if (due > 0) {
        budget_ = static_cast<unsigned>(std::min<std::uint64_t>(most_at_once, budget_ + due));
        refilled_ns_ = now_ns;
    }
    return budget_ > 0 && budget_-- > 0;
}

/// Whole lines make room for it, the oldest first, but for the one that says to which boot they belong.
void StepRecord::append(std::string_view line) noexcept
{
    if (size_ + line.size() > text_.size()) {
        const std::string_view text{text_.data(), size_};
        const auto first = text.find('\n') + 1; // 0 if there is no line
        const auto begin = first <= longest_line ? first : 0;
        const auto newline = text.find('\n', begin + size_ + line.size() - text_.size() - 1);
        const auto end = newline == std::string_view::npos ? size_ : newline + 1;
        std::memmove(text_.data() + begin, text_.data() + end, size_ - end);
        size_ -= end - begin;
    }
    std::memcpy(text_.data() + size_, line.data(), line.size());
    size_ += line.size();
}

void StepRecord::add_of_manager(std::string_view what) noexcept
{
    if (may_write(monotonic_ns()))
        add(what);
}

void StepRecord::add(std::string_view what) noexcept
{
    if (!directory_)
        return;
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    std::array<char, longest_line> line{};
    const int written = std::snprintf(line.data(), line.size(), "%lld %.*s", static_cast<long long>(now.tv_sec),
                                      static_cast<int>(what.size()), what.data());
    const auto size = std::min(static_cast<std::size_t>(std::max(written, 0)), line.size() - 2);
    replace_controls(std::span{line}.first(size), ' ');
    line.at(size) = '\n';
    append({line.data(), size + 1});
    write();
}

void StepRecord::write() noexcept
{
    if (writer_ != 0) {
        again_ = true;
        return;
    }
    const pid_t child = ::fork();
    if (child == 0)
        become_writer();
    if (child > 0)
        writer_ = child;
    else
        complain_of(errno_text(errno));
}

/// It has nothing open that anybody would miss, the watchdog least of all. It complains of nothing itself: of a process
/// that has ended, journald does not know the unit any more.
void StepRecord::become_writer() const noexcept
{
    if (const int error = close_all_but(directory_.get(), directory_.get()); error != 0)
        ::_exit(error);
    ::_exit(replace_durably(directory_.get(), file_name.data(), {text_.data(), size_})); // an errno is below 256
}

void StepRecord::complain_of(const char* why) const noexcept
{
    complain("could not record the step `%.*s` in %s: %s", static_cast<int>(last_step().size()), last_step().data(),
             path_.c_str(), why);
}

/// Without its time.
std::string_view StepRecord::last_step() const noexcept
{
    std::string_view text{text_.data(), size_};
    text.remove_suffix(1); // its line feed
    text.remove_prefix(text.rfind('\n') + 1);
    return text.substr(text.find(' ') + 1);
}

void StepRecord::writer_ended(int status) noexcept
{
    writer_ = 0;
    if (status != 0)
        complain_of(WIFEXITED(status) ? errno_text(WEXITSTATUS(status)) : "who writes it was killed");
    if (std::exchange(again_, false))
        write();
}

void StepRecord::settle(std::uint64_t timeout_ms) noexcept
{
    const auto deadline = monotonic_ns() + timeout_ms * ns_per_ms;
    while (writer_ != 0) {
        int status = 0;
        if (!await(writer_, deadline, status)) {
            complain("could not record the step `%.*s` in %s within %.1f s", static_cast<int>(last_step().size()),
                     last_step().data(), path_.c_str(), static_cast<double>(timeout_ms) / 1e3);
            ::kill(std::exchange(writer_, 0), SIGKILL);
            again_ = false;
            return;
        }
        writer_ended(status);
    }
}

} // namespace belay::launcher
