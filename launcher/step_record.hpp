// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "launcher/plan.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace belay::launcher {

/// What was done about things that went wrong, one line a step, in a file that survives a reset of the machine: nobody
/// else may be able to say it any more. The launcher writes it, because the manager may be what is wrong, and because
/// no module can write a file of root's.
///
///     boot 6d0c2e4a-…
///     1764010000 abort-module slac (pid 123): stopped (state T) for 10 s
///
/// A child writes each line durably, for a disk may take ten seconds for that when a module writes much, and whoever
/// feeds a watchdog does not wait so long; meanwhile further lines are collected for the next child. A step that cannot
/// be written is complained of and lost; so are steps of the manager's that come too often, and the oldest when there
/// are too many. The first line stays. Allocates nothing after construction.
class StepRecord
{
public:
    static constexpr std::string_view file_name = "watchdog-steps";
    static constexpr std::size_t largest = 8192;

    /// None: nothing is written.
    StepRecord() = default;

    /// The directory must be trustworthy; the plan's history is what the file has in it.
    explicit StepRecord(const WatchdogPlan& plan);

    /// `what`: a word, a space and a reason, which may come from somebody who is not trusted.
    void add(std::string_view what) noexcept;

    /// The same, unless it comes too often.
    void add_of_manager(std::string_view what) noexcept;

    /// The child that writes now; 0: none does.
    [[nodiscard]] pid_t writer() const noexcept { return writer_; }
    /// It has ended so (wait(2)), and was reaped.
    void writer_ended(int status) noexcept;

    /// Until all is written, or `timeout_ms` have passed: then the child is killed, and no more known here.
    void settle(std::uint64_t timeout_ms) noexcept;

private:
    bool may_write(std::uint64_t now_ns) noexcept;
    void append(std::string_view line) noexcept;
    void write() noexcept;
    [[noreturn]] void become_writer() const noexcept;
    void complain_of(const char* why) const noexcept;
    [[nodiscard]] std::string_view last_step() const noexcept;

    FileDescriptor directory_;
    std::string path_; ///< for complaints
    std::array<char, largest> text_{};
    std::size_t size_ = 0;
    unsigned budget_ = 32; ///< lines of the manager's that may be written at once
    std::uint64_t refilled_ns_ = 0;
    pid_t writer_ = 0;
    bool again_ = false; ///< there are lines that it does not know
};

} // namespace belay::launcher
