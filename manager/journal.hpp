// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "launcher/journal.hpp"
#include "manager/event_loop.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

namespace belay::manager {

/// One entry in journald's native protocol (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), which takes values of any
/// bytes.
class JournalEntry
{
public:
    /// `text` is MESSAGE; of more than 32 KiB the rest is left out.
    JournalEntry(int priority, std::string_view text);

    /// An empty value is left out. `name`: upper case, digits and underscores.
    void add(std::string_view name, std::string_view value);

    [[nodiscard]] const std::string& bytes() const { return bytes_; }

    /// For where there are no fields: "<3>text", sd-daemon(3).
    [[nodiscard]] const std::string& line() const { return line_; }

private:
    std::string bytes_;
    std::string line_;
};

/// Gives entries to journald, and never waits for it: what it does not take at once is kept, up to 1 MiB, and given to
/// it when it has room again, in order. If it is not there, entries are written to standard error without their fields,
/// and the first one after it went says why. What goes nowhere is counted, and the number told afterwards.
class Journal
{
public:
    /// Nothing is an error: without journald, standard error is left.
    explicit Journal(const char* path = launcher::journal_socket, std::size_t most_kept = std::size_t{1} << 20U);
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;
    Journal(Journal&&) = delete;
    Journal& operator=(Journal&&) = delete;
    ~Journal(); ///< half a second for what is kept

    void send(JournalEntry entry);

    /// Gives what is kept as soon as there is room, for as long as the result lives.
    [[nodiscard]] std::unique_ptr<IoWatch> watch(EventLoop& loop);

private:
    [[nodiscard]] int give(std::string_view bytes);
    [[nodiscard]] bool connect();
    void keep(JournalEntry entry);
    void flush();
    void print(const JournalEntry& entry);
    void print_instead(const JournalEntry& entry, int error);
    void tell_lost();

    std::string path_;
    std::size_t most_kept_;
    FileDescriptor socket_;
    std::deque<JournalEntry> kept_;
    std::size_t kept_bytes_ = 0;
    std::uint64_t lost_ = 0;
    bool absent_ = false; ///< and this was said
};

} // namespace belay::manager
