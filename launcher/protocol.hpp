// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

/// What manager and launcher say to each other: one fixed-size struct a packet of a SOCK_SEQPACKET socketpair(2).
/// Descriptors travel by SCM_RIGHTS. A packet whose opcode, size or module is not what the launcher's table allows ends
/// the manager: it is either broken or taken over.
namespace belay::launcher {

enum class Opcode : std::uint32_t
{
    // manager to launcher
    start = 1,
    signal,
    heartbeat,
    notify,
    finish,
    record,
    // launcher to manager
    started = 64,
    start_failed,
    exited,
    signal_received,
    watchdog,
};

enum class Scope : std::uint32_t
{
    process,
    tree
};
enum class Notification : std::uint32_t
{
    ready,
    stopping,
    status ///< while the unit starts or reloads, it may take some time longer from then on
};

/// Start module number `module` of the plan. It must not be running.
struct Start
{
    Opcode opcode = Opcode::start;
    std::uint32_t module = 0;
    std::uint32_t attempt = 0; ///< 0 for the first; for messages only
};

/// Send SIGTERM, SIGKILL or SIGABRT; nothing else is allowed. A module that already ended is not an error.
struct Signal
{
    Opcode opcode = Opcode::signal;
    std::uint32_t module = 0;
    std::int32_t signal = 0;
    Scope scope = Scope::process; ///< tree: the module's process group
};

/// Due every `interval_ms` of WatchdogState. What is watched by a watchdog is fed if the manager vouches for it.
struct Heartbeat
{
    Opcode opcode = Opcode::heartbeat;
    std::uint32_t healthy = 0;
    std::uint64_t sequence = 0;
};

/// A step against something that went wrong, for who asks after a reset (step_record.hpp).
struct Record
{
    Opcode opcode = Opcode::record;
    std::array<char, 252> text{}; ///< a word for the step, a space, the reason; NUL-terminated
};

/// Forwarded to systemd (sd_notify(3)): the launcher is the service's main process. It knows by itself of a reload.
struct Notify
{
    Opcode opcode = Opcode::notify;
    Notification kind = Notification::status;
    std::array<char, 248> text{}; ///< for `status`; NUL-terminated
};

enum class After : std::uint32_t
{
    exit,
    reload ///< execute bin/manager again, after a SIGHUP, if its invocation is known
};

/// The configuration must be changed first (EX_CONFIG of sysexits.h; systemd.exec(5)): the service is not started
/// again. Whoever is not root has no say in that.
constexpr std::int32_t exit_configuration = 78;

/// Kill what still runs and exit with `exit_code` (0 to 255, but for `exit_configuration`).
struct Finish
{
    Opcode opcode = Opcode::finish;
    std::int32_t exit_code = 0;
    After after = After::exit;
};

/// The program is executing. Carries its pidfd and, with `prefix_output`, the read end of its output.
struct Started
{
    Opcode opcode = Opcode::started;
    std::uint32_t module = 0;
    std::int32_t pid = 0;
    std::uint32_t reserved = 0;
    std::uint64_t forked_ns = 0;   ///< CLOCK_MONOTONIC
    std::uint64_t executed_ns = 0; ///< CLOCK_MONOTONIC
};

/// The program never ran.
struct StartFailed
{
    Opcode opcode = Opcode::start_failed;
    std::uint32_t module = 0;
    std::uint32_t stage = 0; ///< StageId of launcher/stages.hpp
    std::int32_t error = 0;  ///< errno
};

/// A started module's main process ended. `status` is wait(2)'s. With a `system_call`, the module was killed because it
/// or what it started called that, which its plan does not allow.
struct Exited
{
    Opcode opcode = Opcode::exited;
    std::uint32_t module = 0;
    std::int32_t pid = 0;
    std::int32_t status = 0;
    std::uint64_t user_us = 0;   ///< CPU time
    std::uint64_t system_us = 0; ///< CPU time
    std::uint64_t max_rss_kb = 0;
    std::int32_t system_call = -1;   ///< number; -1: none
    std::uint32_t out_of_memory = 0; ///< so many of the module's processes were killed by the kernel for want of memory
};

/// SIGHUP: a reload was asked for, and the configuration that it would read is good.
struct SignalReceived
{
    Opcode opcode = Opcode::signal_received;
    std::int32_t signal = 0; ///< SIGINT, SIGTERM or SIGHUP
};

/// Heartbeats are wanted. The first packet, and only with a watchdog.
struct WatchdogState
{
    Opcode opcode = Opcode::watchdog;
    std::uint32_t interval_ms = 0;   ///< between two heartbeats
    std::uint32_t deadline_ms = 0;   ///< without one for so long, all modules are stopped
    std::uint32_t systemd_ms = 0;    ///< WatchdogSec= of the unit; 0: none
    std::uint32_t timeout_ms = 0;    ///< of the hardware; 0: none is fed
    std::int32_t error = 0;          ///< errno: why a hardware watchdog that was asked for is not fed
    std::int32_t boot_status = 0;    ///< WDIOF_*: why the machine was started
    std::uint32_t nowayout = 0;      ///< 1: it cannot be stopped
    std::uint32_t magic_close = 0;   ///< 0: it stops with the launcher, however that ends
    std::array<char, 32> identity{}; ///< of the hardware; NUL-terminated
};

constexpr std::size_t largest_packet = sizeof(Record);
static_assert(sizeof(Notify) <= largest_packet);

} // namespace belay::launcher
