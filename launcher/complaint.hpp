// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/messages.hpp"

#include <syslog.h>

/// What the launcher says: to the journal if standard error is that, else on standard error. Never waits: a terminal
/// that is stopped, or a pipe that nobody reads, must not keep it from stopping the modules. What does not fit is lost.
/// Allocates nothing.
namespace belay::launcher {

/// Makes writing to a terminal or a FIFO non-blocking for this process alone; a socket needs nothing. Elsewhere
/// complain() finds out whether there is room.
void prepare_complaints() noexcept;

/// An error: "launcher: …" and a line feed, as printf(3); in the journal of the priority LOG_ERR, without the prefix.
[[gnu::format(printf, 1, 2)]] void complain(const char* format, ...) noexcept;

/// The same for something that has a MESSAGE_ID. `priority`: LOG_INFO, LOG_WARNING, … of syslog(3).
[[gnu::format(printf, 3, 4)]] void report(JournalMessage message, int priority, const char* format, ...) noexcept;

} // namespace belay::launcher
