// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"

#include <tl/expected.hpp>

#include <string>
#include <string_view>

namespace belay::manager {

/// `--status-fifo`: one word a line for whoever started the manager (wire-protocol.md §10).
class StatusFifo
{
public:
    /// A non-blocking descriptor, or none. SIGPIPE must be ignored.
    explicit StatusFifo(FileDescriptor fifo = {}) : fifo_(std::move(fifo)) {}

    /// A named pipe that somebody reads; none if `path` is empty. The error is a sentence. After a reload, a reader
    /// that has left is none, as in write().
    static tl::expected<StatusFifo, std::string> open(const std::string& path, bool reloaded);

    /// After the first line that could not be written (the reader left, or does not read) nothing more is written; the
    /// error of that line is its errno.
    tl::expected<void, int> write(std::string_view line);
    void close() { fifo_.reset(); }

private:
    FileDescriptor fifo_;
};

} // namespace belay::manager
