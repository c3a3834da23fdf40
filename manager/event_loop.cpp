// SPDX-License-Identifier: Apache-2.0
#include "manager/event_loop.hpp"

#include "manager/libsystemd.hpp"

#include <system_error>
#include <utility>

#include <time.h>

namespace belay::manager {

namespace {

void check(int result, const char* what)
{
    if (result < 0)
        throw std::system_error(-result, std::generic_category(), what);
}

} // namespace

std::uint64_t monotonic_ns()
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

EventLoop::EventLoop()
{
    check(libsystemd().event_new(&loop_), "could not create the event loop");
}

EventLoop::~EventLoop()
{
    libsystemd().event_unref(loop_);
}

int EventLoop::run()
{
    const int code = libsystemd().event_loop(loop_);
    if (failure_)
        std::rethrow_exception(std::exchange(failure_, nullptr));
    check(code, "the event loop failed");
    return code;
}

void EventLoop::exit(int code)
{
    check(libsystemd().event_exit(loop_, code), "could not end the event loop");
}

void EventLoop::guard(const std::function<void()>& action) noexcept
{
    try {
        action();
    } catch (...) {
        failure_ = std::current_exception();
        libsystemd().event_exit(loop_, 1);
    }
}

void DisableSource::operator()(sd_event_source* source) const
{
    libsystemd().event_source_disable_unref(source);
}

Timer::Timer(EventLoop& loop, std::function<void()> handler)
    : shared_(std::make_shared<Shared>(loop, std::move(handler)))
{
    const auto fired = [](sd_event_source*, std::uint64_t, void* data) {
        const auto shared = static_cast<Shared*>(data)->shared_from_this();
        shared->loop.guard(shared->handler);
        return 0;
    };
    sd_event_source* source = nullptr;
    constexpr std::uint64_t accuracy_us = 1000;
    check(libsystemd().event_add_time(loop.get(), &source, CLOCK_MONOTONIC, 0, accuracy_us, fired, shared_.get()),
          "could not add a timer");
    source_.reset(source);
    disarm();
}

void Timer::arm(std::chrono::milliseconds delay)
{
    const auto delay_us = static_cast<std::uint64_t>(std::chrono::microseconds(delay).count());
    check(libsystemd().event_source_set_time_relative(source_.get(), delay_us), "could not set a timer");
    check(libsystemd().event_source_set_enabled(source_.get(), SD_EVENT_ONESHOT), "could not arm a timer");
}

void Timer::disarm()
{
    check(libsystemd().event_source_set_enabled(source_.get(), SD_EVENT_OFF), "could not disarm a timer");
}

IoWatch::IoWatch(EventLoop& loop, int descriptor, std::uint32_t events, Handler handler, Wanted wanted)
    : shared_(std::make_shared<Shared>(loop, std::move(handler), std::move(wanted)))
{
    const auto happened = [](sd_event_source*, int, std::uint32_t revents, void* data) {
        const auto shared = static_cast<Shared*>(data)->shared_from_this();
        shared->loop.guard([&] { shared->handler(revents); });
        return 0;
    };
    const auto prepare = [](sd_event_source* source, void* data) {
        const auto shared = static_cast<Shared*>(data)->shared_from_this();
        shared->loop.guard([&] {
            check(libsystemd().event_source_set_io_events(source, shared->wanted()), "could not watch a descriptor");
        });
        return 0;
    };
    sd_event_source* source = nullptr;
    check(libsystemd().event_add_io(loop.get(), &source, descriptor, events, happened, shared_.get()),
          "could not watch a descriptor");
    source_.reset(source);
    if (shared_->wanted)
        check(libsystemd().event_source_set_prepare(source, prepare), "could not watch a descriptor");
}

} // namespace belay::manager
