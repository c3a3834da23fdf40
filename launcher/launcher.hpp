// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/cgroup.hpp"
#include "launcher/control.hpp"
#include "launcher/denied_calls.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/feeding.hpp"
#include "launcher/module_start.hpp"
#include "launcher/plan.hpp"
#include "launcher/protocol.hpp"
#include "launcher/reload.hpp"
#include "launcher/service_manager.hpp"
#include "launcher/step_record.hpp"
#include "launcher/terminal.hpp"

#include <csignal>
#include <deque>
#include <vector>

#include <poll.h>

namespace belay::launcher {

/// What the launcher works with; all of it exists before the first request is read.
struct Equipment
{
    FileDescriptor control;           ///< to the manager
    FileDescriptor signals;           ///< signalfd(2): SIGCHLD, SIGINT, SIGTERM, SIGHUP
    pid_t manager = 0;                ///< a child of this process
    std::deque<PreparedStart> starts; ///< by module number
    ServiceManager service_manager;
    ControlGroups control_groups;
    Feeding feeding;
    StepRecord record;
};

/// The root half: starts, signals and reaps what the plan names when the manager asks for it, in one loop that sleeps
/// in ppoll(2). Allocates nothing after construction. What the manager may say is the table in operations.cpp; anything
/// else ends it, and so does a stop that was asked for by a signal and takes it too long, or a heartbeat that does not
/// come where they are expected. Without a manager every module is stopped: SIGTERM, then SIGKILL for the whole group.
/// What a module leaves behind when it ends, in whichever session, is killed, and likewise what that leaves behind.
class Launcher
{
public:
    Launcher(const LaunchPlan& plan, Equipment equipment);

    /// Until every process is gone, or does not go. The exit code: the manager's `finish`, or 1 if it ended without.
    int run();

    /// After run(): becomes bin/manager again if the manager asked for that and nobody is left. Returns 0 if not, or an
    /// errno.
    [[nodiscard]] int reload() noexcept { return reloads_ ? reload_.execute() : 0; }

private:
    enum class State
    {
        running,
        stopping, ///< without the manager; SIGKILL at the deadline
        finishing ///< at the manager's word; it may still end by itself until the deadline
    };

    struct Module
    {
        pid_t pid = 0; ///< 0: not running
        bool executed = false;
        bool ending = false; ///< `ended` is told when nobody is left in its control group
        std::uint64_t forked_ns = 0;
        Exited ended;
        FileDescriptor pidfd, status, output;
        DeniedCalls denied;
    };

    struct Operation;
    static const std::array<Operation, 6> operations;

    /// The manager may ask modules to stop, then signal them, then kill them, and must tell the broker: so many times
    /// the plan's timeout is a manager that hangs.
    static constexpr std::uint64_t orderly_stop_factor = 4;

    void wait();
    void read_signals();
    void hang_up(const signalfd_siginfo& info);
    void forward(int signal);
    void expect_end();
    void read_control(int most_packets);
    void reap();
    void resolve_start(std::uint32_t number);
    void module_ended(std::uint32_t number);
    void tell_end(std::uint32_t number);
    void tell_all_ends();
    void manager_ended(const siginfo_t& info);
    void kill_orphans();
    void fail_to_wait(int error);
    /// Children of who executed bin/manager in its own place: they are none of ours.
    std::span<pid_t> inherited();

    void dispatch(const Packet& packet);
    void start(const Packet& packet);
    FileDescriptor open_stream(std::uint32_t number);
    void signal(const Packet& packet);
    void heartbeat(const Packet& packet);
    void notify(const Packet& packet);
    void finish(const Packet& packet);
    void record(const Packet& packet);

    template <typename Message>
    void tell(const Message& message, std::span<const int> descriptors = {})
    {
        tell_packet(&message, sizeof message, descriptors);
    }
    void tell_packet(const void* data, std::size_t size, std::span<const int> descriptors);
    void lose_manager(const char* why);
    void signal_tree(std::size_t number, int signal);
    void signal_all(int number);
    void judge_reload();
    void follow(Reload::Verdict verdict);
    void say_ready();
    void say_stopping();
    void set_deadline(std::uint64_t ms);
    [[nodiscard]] std::uint64_t time_to_end_ms() const noexcept;
    void reach_deadline();
    void miss_heartbeat();
    void end_feeding(bool nobody_left);
    void note(const char* format, ...) noexcept __attribute__((format(printf, 2, 3)));
    [[nodiscard]] bool done() const;

    const LaunchPlan& plan_;
    Equipment equipment_;
    std::vector<Module> modules_;
    std::vector<pollfd> polled_;
    std::vector<pid_t> spared_;   ///< who is no orphan: supervising children, modules, and who was there before
    std::vector<pid_t> children_; ///< scratch
    std::vector<std::string> stream_headers_; ///< by module number; none without `journal_output`
    bool without_stream_ = false;             ///< the last one that was wanted could not be opened
    Terminal terminal_;
    Reload reload_;
    bool reloads_ = false;
    bool ready_ = false; ///< systemd was told so, and not of a reload since
    bool told_to_reload_ = false;
    bool told_to_stop_ = false;
    bool killed_ = false;   ///< all that still runs
    bool given_up_ = false; ///< on what survives that
    bool unreaped_ = false; ///< there may be more, for which no SIGCHLD comes
    State state_ = State::running;
    std::uint64_t deadline_ns_ = 0; ///< CLOCK_MONOTONIC; 0: none
    std::uint64_t patience_ns_ = 0; ///< CLOCK_MONOTONIC; when ends are told in any case; 0: none is due
    int exit_code_ = 1;
};

} // namespace belay::launcher
