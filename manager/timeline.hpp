// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"

#include <cstdint>
#include <string_view>

#include <sys/types.h>

namespace belay::manager {

/// `--timeline`: when each module was forked, executed, asked, was answered, became ready and exited. One JSON object a
/// line, written at once: {"event":"ready","module":"slac","pid":123,"t_ms":41.5}.
class Timeline
{
public:
    /// The file, or none, and where its time starts (CLOCK_MONOTONIC).
    Timeline(FileDescriptor file, std::uint64_t start_ns) : file_(std::move(file)), start_ns_(start_ns) {}

    /// An empty module or a pid of 0 is left out. A line that cannot be written ends the timeline.
    void record(std::string_view event, std::string_view module, pid_t pid, std::uint64_t now_ns);

private:
    FileDescriptor file_;
    std::uint64_t start_ns_;
};

} // namespace belay::manager
