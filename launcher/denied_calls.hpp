// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"

#include <tl/expected.hpp>

#include <cstdint>
#include <string>

#include <sys/types.h>

/// The supervising end of an allow list; see seccomp_unotify(2).
namespace belay::launcher {

/// The listener of one start of a module. A call that the list does not allow waits there and is never made: the
/// module's tree is killed. Without the listener it fails with ENOSYS. Allocates nothing.
class DeniedCalls
{
public:
    void watch(FileDescriptor listener) noexcept
    {
        listener_ = std::move(listener);
        watched_ = true;
    }

    /// There was a listener, whether or not it is still needed.
    [[nodiscard]] bool watched() const noexcept { return watched_; }

    /// To be polled; -1 for none.
    [[nodiscard]] int descriptor() const noexcept { return listener_.get(); }

    /// poll(2) has found `events`. If that is a call: notes it, kills the caller, which may have left its module's
    /// group, and returns true; the rest of the tree is the launcher's to kill.
    bool judge(short events) noexcept;

    /// The module has ended. What is left of its tree is nobody's to watch any more.
    void stop() noexcept { listener_.reset(); }

    /// The first that was judged; -1: none.
    [[nodiscard]] std::int32_t number() const noexcept { return number_; }

private:
    FileDescriptor listener_;
    bool watched_ = false;
    std::int32_t number_ = -1;
};

/// Whether this kernel can tell of denied calls, in a form that judge() has room for. The error is a sentence.
tl::expected<void, std::string> check_notifications();

} // namespace belay::launcher
