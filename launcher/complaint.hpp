// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the launcher says on standard error. Never waits: a terminal that is stopped, or a pipe that nobody reads, must
/// not keep it from stopping the modules. What does not fit is lost. Allocates nothing.
namespace belay::launcher {

/// Makes writing to a terminal non-blocking for this process alone. Elsewhere complain() finds out whether there is
/// room.
void prepare_complaints() noexcept;

/// "launcher: …" and a line feed, as printf(3).
[[gnu::format(printf, 1, 2)]] void complain(const char* format, ...) noexcept;

} // namespace belay::launcher
