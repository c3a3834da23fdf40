// SPDX-License-Identifier: Apache-2.0
#include "manager/module_output.hpp"

#include "launcher/write_all.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

namespace belay::manager {

namespace {

constexpr std::size_t longest_line = 8192;

/// Standard error may be anything; what it does not take is lost, as for everybody else who prints.
void print(std::string_view text)
{
    static_cast<void>(write_all(STDERR_FILENO, text));
}

} // namespace

std::string line_prefix(const std::string& id, std::size_t index, std::size_t width, bool color)
{
    constexpr std::array<std::string_view, 6> colors{"36", "33", "32", "35", "34", "31"};
    const auto name = id + std::string(width - std::min(width, id.size()), ' ') + " |";
    return color ? "\033[" + std::string{colors.at(index % colors.size())} + "m" + name + "\033[0m " : name + ' ';
}

std::string prefix_lines(std::string_view prefix, std::string& partial, std::string_view bytes)
{
    std::string text;
    const auto finish_line = [&] {
        text.append(prefix).append(partial).push_back('\n');
        partial.clear();
    };
    for (const char c : bytes) {
        if (c == '\n') {
            finish_line();
            continue;
        }
        if (partial.size() == longest_line)
            finish_line();
        partial.push_back(c);
    }
    return text;
}

void ModuleOutput::add(const std::string& id, std::size_t index, FileDescriptor pipe)
{
    streams_.remove_if([](const Stream& stream) { return stream.ended; });
    auto& stream = streams_.emplace_back();
    stream.pipe = std::move(pipe);
    stream.prefix = line_prefix(id, index, width_, color_);
    if (const int flags = fcntl(stream.pipe.get(), F_GETFL); flags >= 0)
        fcntl(stream.pipe.get(), F_SETFL, flags | O_NONBLOCK);
    stream.watch = std::make_unique<IoWatch>(loop_, stream.pipe.get(), EPOLLIN, [&stream](std::uint32_t) {
        if (!read(stream)) {
            stream.ended = true;
            stream.watch.reset();
            stream.pipe.reset();
        }
    });
}

void ModuleOutput::drain()
{
    constexpr int most_reads = 64;
    for (auto& stream : streams_)
        for (int i = 0; i < most_reads && !stream.ended; ++i)
            if (!read(stream))
                stream.ended = true;
}

bool ModuleOutput::read(Stream& stream)
{
    std::array<char, 16384> buffer{};
    const ssize_t length = ::read(stream.pipe.get(), buffer.data(), buffer.size());
    if (length < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    if (length > 0) {
        print(prefix_lines(stream.prefix, stream.partial, {buffer.data(), static_cast<std::size_t>(length)}));
        return true;
    }
    if (!stream.partial.empty())
        print(prefix_lines(stream.prefix, stream.partial, "\n"));
    return false;
}

} // namespace belay::manager
