// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <systemd/sd-event.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

/// sd-event(3) with owners. A handler may throw: the loop ends, and run() throws the exception again, so that none
/// passes through C code. A handler may destroy its own IoWatch or Timer.
namespace belay::manager {

/// CLOCK_MONOTONIC, in nanoseconds.
[[nodiscard]] std::uint64_t monotonic_ns();

class EventLoop
{
public:
    EventLoop(); ///< throws std::system_error
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;
    ~EventLoop();

    /// Until exit(); returns its code.
    int run();
    void exit(int code);
    [[nodiscard]] sd_event* get() const { return loop_; }

    /// Calls `action`; an exception ends the loop.
    void guard(const std::function<void()>& action) noexcept;

private:
    sd_event* loop_ = nullptr;
    std::exception_ptr failure_;
};

struct DisableSource
{
    void operator()(sd_event_source* source) const;
};
using SourcePointer = std::unique_ptr<sd_event_source, DisableSource>;

/// Fires once per arm(), to the millisecond.
class Timer
{
public:
    Timer(EventLoop& loop, std::function<void()> handler);
    void arm(std::chrono::milliseconds delay);
    void disarm();

private:
    struct Shared : std::enable_shared_from_this<Shared>
    {
        Shared(EventLoop& the_loop, std::function<void()> the_handler) : loop(the_loop), handler(std::move(the_handler))
        {}
        EventLoop& loop;
        std::function<void()> handler;
    };
    std::shared_ptr<Shared> shared_;
    SourcePointer source_;
};

/// Watches a descriptor that the caller owns. `wanted`, if given, is asked before each wait for the EPOLL* events.
class IoWatch
{
public:
    using Handler = std::function<void(std::uint32_t events)>;
    using Wanted = std::function<std::uint32_t()>;

    IoWatch(EventLoop& loop, int descriptor, std::uint32_t events, Handler handler, Wanted wanted = {});

private:
    struct Shared : std::enable_shared_from_this<Shared>
    {
        Shared(EventLoop& the_loop, Handler the_handler, Wanted the_wanted)
            : loop(the_loop), handler(std::move(the_handler)), wanted(std::move(the_wanted))
        {}
        EventLoop& loop;
        Handler handler;
        Wanted wanted;
    };
    std::shared_ptr<Shared> shared_;
    SourcePointer source_;
};

} // namespace belay::manager
