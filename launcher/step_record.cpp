// SPDX-License-Identifier: Apache-2.0
#include "launcher/step_record.hpp"

#include "launcher/clock.hpp"
#include "launcher/complaint.hpp"
#include "launcher/durable_file.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/plain_text.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fcntl.h>

namespace belay::launcher {

namespace {

constexpr unsigned most_at_once = 32;
constexpr std::uint64_t refill_ns = 10 * ns_per_s;
constexpr std::size_t longest_line = 512;

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
    append(std::string_view{plan.history}.substr(plan.history.size() - std::min(plan.history.size(), largest)));
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

/// Whole lines make room for it, the oldest first.
void StepRecord::append(std::string_view line) noexcept
{
    while (size_ + line.size() > text_.size()) {
        const auto* newline = static_cast<const char*>(std::memchr(text_.data(), '\n', size_));
        const auto gone = newline == nullptr ? size_ : static_cast<std::size_t>(newline - text_.data()) + 1;
        std::memmove(text_.data(), &text_.at(gone - 1) + 1, size_ - gone);
        size_ -= gone;
    }
    std::memcpy(text_.data() + size_, line.data(), line.size());
    size_ += line.size();
}

void StepRecord::add(std::string_view what) noexcept
{
    if (!directory_ || !may_write(monotonic_ns()))
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
    if (const int error = replace_durably(directory_.get(), file_name.data(), {text_.data(), size_}); error != 0)
        complain("could not record the step `%.*s` in %s: %s", static_cast<int>(what.size()), what.data(),
                 path_.c_str(), errno_text(error));
}

} // namespace belay::launcher
