// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/control.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/plan.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// A manager that was taken over: it says to the launcher what the fuzzer wants, and judges what it hears.
///
/// Its script is letters with arguments of one byte each, of which the low bits count, so that digits are what they
/// say; what is no letter is passed over:
///     s MODULE               start
///     k MODULE SIGNAL SCOPE  signal: TERM, KILL, ABRT, none, STOP, a negative one, HUP, a large one
///     h HEALTHY              heartbeat
///     c BYTE                 record, full of that
///     n KIND SIZE TEXT…      notify
///     f CODE                 finish: 0, 1, 255, 256, -1, the largest, the smallest, 7
///     r SIZE BYTES…          these bytes, or with the highest bit set so many more than the largest packet has
///     d                      the next packet carries descriptors
///     w                      wait for a message, but not for long
///     t                      a stop signal from outside: SIGTERM to the launcher
class HostileManager
{
public:
    /// `socket`: its end; `plan`: what the launcher may do.
    HostileManager(belay::FileDescriptor socket, const belay::launcher::LaunchPlan& plan);

    /// Says everything, then closes the socket.
    void run(std::span<const std::uint8_t> script);

private:
    void perform(char what);
    void start();
    void signal();
    void notify();
    void finish();
    void send_raw();
    void hear();
    void judge(const belay::launcher::Packet& packet, std::span<const belay::FileDescriptor> descriptors);
    void judge_process(std::uint32_t module, pid_t pid, int process) const;
    void say(const void* data, std::size_t size);
    std::uint8_t take();

    belay::FileDescriptor socket_;
    const belay::launcher::LaunchPlan& plan_;
    std::span<const std::uint8_t> script_;
    std::vector<pid_t> running_; ///< by module; 0: not known to run
    unsigned asked_ = 0;         ///< starts
    unsigned heard_ = 0;         ///< outcomes of starts
    unsigned waits_ = 0;
    bool with_descriptors_ = false;
};
