// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "manager/event_loop.hpp"

#include <list>
#include <memory>
#include <string>
#include <string_view>

namespace belay::manager {

/// What modules print, on standard error, each line with the module's id in front, as `docker compose` does; ids are
/// padded to `width`, the length of the longest, so that the lines stand below each other. A line longer than 8 KiB is
/// broken. The last line, if it has no end, gets one.
class ModuleOutput
{
public:
    ModuleOutput(EventLoop& loop, bool color, std::size_t width) : loop_(loop), color_(color), width_(width) {}

    /// Reads until the end of the pipe. `index` chooses the colour.
    void add(const std::string& id, std::size_t index, FileDescriptor pipe);

    /// What the pipes still hold, without waiting.
    void drain();

private:
    struct Stream
    {
        FileDescriptor pipe;
        std::string prefix;
        std::string partial;
        std::unique_ptr<IoWatch> watch;
        bool ended = false;
    };

    /// False at the end of the pipe.
    static bool read(Stream& stream);

    EventLoop& loop_;
    bool color_;
    std::size_t width_;
    std::list<Stream> streams_;
};

/// What stands in front of each line of a module. For tests.
std::string line_prefix(const std::string& id, std::size_t index, std::size_t width, bool color);

/// Cuts `partial` + `bytes` into whole lines, each with `prefix`; the rest stays in `partial`. For tests.
std::string prefix_lines(std::string_view prefix, std::string& partial, std::string_view bytes);

} // namespace belay::manager
