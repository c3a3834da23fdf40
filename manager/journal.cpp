// SPDX-License-Identifier: Apache-2.0
#include "manager/journal.hpp"

#include "launcher/errno_text.hpp"
#include "launcher/messages.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

namespace belay::manager {

namespace {

constexpr std::size_t longest_text = 32768;
constexpr auto longest_farewell = std::chrono::milliseconds(500);

bool is_full(int error)
{
    return error == EAGAIN || error == ENOBUFS;
}

JournalEntry about_journal(int priority, const std::string& text)
{
    JournalEntry entry{priority, text};
    const auto& type = type_of(JournalMessage::journal_lost);
    entry.add("SYSLOG_IDENTIFIER", "manager");
    entry.add("MESSAGE_ID", type.id);
    entry.add("EVEREST_EVENT", type.name);
    return entry;
}

} // namespace

JournalEntry::JournalEntry(int priority, std::string_view text)
{
    const std::string shown{text.substr(0, longest_text)};
    const auto number = std::to_string(priority);
    add("PRIORITY", number);
    add("MESSAGE", shown);
    line_ = '<' + number + '>' + shown + '\n';
}

void JournalEntry::add(std::string_view name, std::string_view value)
{
    if (value.empty())
        return;
    bytes_ += name;
    if (value.find('\n') == std::string_view::npos) {
        bytes_ += '=';
    } else {
        std::array<char, sizeof(std::uint64_t)> size{};
        for (std::size_t i = 0; i < size.size(); ++i)
            size.at(i) = static_cast<char>(value.size() >> (8 * i)); // little endian
        bytes_ += '\n';
        bytes_.append(size.data(), size.size());
    }
    bytes_ += value;
    bytes_ += '\n';
}

Journal::Journal(const char* path, std::size_t most_kept)
    : path_(path), most_kept_(most_kept), socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))
{}

Journal::~Journal()
{
    const auto deadline = std::chrono::steady_clock::now() + longest_farewell;
    for (flush(); !kept_.empty(); flush()) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd room{socket_.get(), POLLOUT, 0};
        if (left.count() <= 0 || ::poll(&room, 1, static_cast<int>(left.count())) == 0)
            return;
    }
}

bool Journal::connect()
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(&address.sun_path[0], path_.c_str(), sizeof address.sun_path - 1);
    return ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

/// An errno. A socket that lost its peer, or never had one, tries to find it.
int Journal::give(std::string_view bytes)
{
    const auto attempt = [&] {
        return ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) >= 0 ? 0 : errno;
    };
    const int error = attempt();
    if (error == 0 || is_full(error))
        return error;
    return connect() ? attempt() : errno;
}

void Journal::send(JournalEntry entry)
{
    flush();
    if (!kept_.empty())
        return keep(std::move(entry));
    const int error = give(entry.bytes());
    if (is_full(error))
        return keep(std::move(entry));
    if (error != 0)
        return print_instead(entry, error);
    absent_ = false;
    tell_lost();
}

void Journal::keep(JournalEntry entry)
{
    if (kept_bytes_ + entry.bytes().size() > most_kept_) {
        ++lost_;
        return;
    }
    kept_bytes_ += entry.bytes().size();
    kept_.push_back(std::move(entry));
}

void Journal::flush()
{
    while (!kept_.empty()) {
        const int error = give(kept_.front().bytes());
        if (is_full(error))
            return;
        if (error != 0)
            print_instead(kept_.front(), error);
        kept_bytes_ -= kept_.front().bytes().size();
        kept_.pop_front();
        if (kept_.empty() && error == 0)
            tell_lost();
    }
}

/// Standard error is a socket of journald's, too, and must not be waited for either.
void Journal::print(const JournalEntry& entry)
{
    const auto& line = entry.line();
    if (::send(STDERR_FILENO, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        ++lost_;
}

void Journal::print_instead(const JournalEntry& entry, int error)
{
    if (!std::exchange(absent_, true))
        print(JournalEntry{LOG_WARNING, "could not reach the journal at " + path_ + ": " + errno_text(error) +
                                            "; until it is back, standard error gets all, without fields"});
    print(entry);
}

void Journal::tell_lost()
{
    if (lost_ == 0)
        return;
    const auto entry =
        about_journal(LOG_WARNING, std::to_string(lost_) + (lost_ == 1 ? " entry was" : " entries were") +
                                       " lost: the journal did not take more");
    if (give(entry.bytes()) == 0)
        lost_ = 0;
}

std::unique_ptr<IoWatch> Journal::watch(EventLoop& loop)
{
    if (!socket_)
        return nullptr;
    return std::make_unique<IoWatch>(
        loop, socket_.get(), 0, [this](std::uint32_t) { flush(); },
        [this] { return kept_.empty() ? 0U : static_cast<std::uint32_t>(EPOLLOUT); });
}

} // namespace belay::manager
