// SPDX-License-Identifier: Apache-2.0
#include "launcher/launcher.hpp"

#include "launcher/children.hpp"
#include "launcher/clock.hpp"
#include "launcher/complaint.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/journal.hpp"
#include "launcher/leftovers.hpp"
#include "launcher/signal_domain.hpp"
#include "launcher/spawn.hpp"
#include "launcher/stages.hpp"
#include "launcher/status_channel.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

namespace belay::launcher {

namespace {

/// A manager that never stops talking must not keep signals, ends of modules and deadlines waiting.
constexpr int most_packets_at_once = 32;
constexpr int most_packets_left = 4096;         // of one that has ended: more than its socket holds
constexpr std::size_t fixed_descriptors = 2;    // control and signals; the modules' own follow
constexpr std::size_t module_descriptors = 2;   // the status channel and the listener for denied calls
constexpr std::size_t ends_at_once = 64;        // then the manager is heard, however fast others fork and end
constexpr std::size_t supervising_children = 3; // the manager, the judge of a reload, the writer of the record
constexpr std::size_t orphans_at_once = 256;

std::uint64_t microseconds(const timeval& time)
{
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(time.tv_usec);
}

} // namespace

Launcher::Launcher(const LaunchPlan& plan, Equipment equipment)
    : plan_(plan),
      equipment_(std::move(equipment)),
      modules_(plan.modules.size()),
      polled_(fixed_descriptors + module_descriptors * plan.modules.size()),
      children_(modules_.size() + orphans_at_once),
      reload_(plan.invocation)
{
    // A shell that executed bin/manager in its own place may have had children.
    const auto earlier = list_children(children_);
    spared_.assign(children_.begin(), children_.begin() + static_cast<std::ptrdiff_t>(earlier));
    std::replace(spared_.begin(), spared_.end(), equipment_.manager, pid_t{0}); // not spared at the end
    spared_.resize(earlier + supervising_children + modules_.size());
    children_.resize(spared_.size() + orphans_at_once);
    for (const auto& module : plan.modules)
        if (plan.journal_output)
            stream_headers_.push_back(journal_stream_header(module.id, plan.unit));
}

int Launcher::run()
{
    if (equipment_.feeding.expects_heartbeats()) {
        const auto& state = equipment_.feeding.state();
        note("started timeout %u ms, boot status 0x%x", state.timeout_ms, static_cast<unsigned>(state.boot_status));
        tell(state);
        equipment_.feeding.expect_first(monotonic_ns());
    }
    while (!done())
        wait();
    const auto timeout = given_up_ ? 0 : static_cast<int>(plan_.stop_timeout_ms);
    for (std::size_t i = 0; i < modules_.size(); ++i)
        signal_tree(i, SIGKILL);
    equipment_.record.settle(orderly_stop_factor * plan_.stop_timeout_ms);
    const auto reach = plan_.signal_domain && reaches_nobody_else() ? Reach::everybody : Reach::children;
    // In a signal domain whoever was there before is out of reach, and not to be waited for.
    const auto spared = reach == Reach::everybody ? inherited() : std::span<pid_t>{};
    const bool nobody_left = kill_leftovers(spared, timeout, reach);
    equipment_.control_groups.remove();
    if (!nobody_left || told_to_stop_)
        reloads_ = false;
    end_feeding(nobody_left);
    equipment_.record.settle(orderly_stop_factor * plan_.stop_timeout_ms);
    if (!nobody_left) {
        complain("some processes did not end within %u ms of SIGKILL", plan_.stop_timeout_ms);
        return exit_code_ == 0 ? 1 : exit_code_;
    }
    return exit_code_;
}

bool Launcher::done() const
{
    const auto running = [](const Module& module) { return module.pid != 0 || module.ending; };
    return given_up_ || (state_ != State::running && std::none_of(modules_.begin(), modules_.end(), running) &&
                         (equipment_.manager == 0 || (state_ == State::stopping && killed_)));
}

void Launcher::wait()
{
    polled_[0] = {equipment_.control.get(), POLLIN, 0};
    polled_[1] = {equipment_.signals.get(), POLLIN, 0};
    const auto own = [&](std::size_t i) { return &polled_[fixed_descriptors + module_descriptors * i]; };
    for (std::size_t i = 0; i < modules_.size(); ++i) {
        own(i)[0] = modules_[i].ending ? pollfd{equipment_.control_groups.events(i), POLLPRI, 0}
                                       : pollfd{modules_[i].status.get(), POLLIN, 0};
        own(i)[1] = {modules_[i].denied.descriptor(), POLLIN, 0};
    }
    const auto now = monotonic_ns();
    // 0, which is never, becomes the largest
    const auto until = std::min({deadline_ns_ - 1, patience_ns_ - 1, equipment_.feeding.due_ns() - 1});
    const timespec timeout = to_timespec(until >= now && !unreaped_ ? until + 1 - now : 0);
    const bool endless = until + 1 == 0 && !unreaped_;
    if (::ppoll(polled_.data(), polled_.size(), endless ? nullptr : &timeout, nullptr) < 0)
        return fail_to_wait(errno);
    for (std::size_t i = 0; i < modules_.size(); ++i) {
        const auto number = static_cast<std::uint32_t>(i);
        if (own(i)[0].revents != 0)
            modules_[i].ending ? tell_end(number) : resolve_start(number);
        if (own(i)[1].revents != 0 && modules_[i].denied.judge(own(i)[1].revents))
            signal_tree(i, SIGKILL);
    }
    if (polled_[1].revents != 0)
        read_signals();
    if (polled_[0].revents != 0)
        read_control(most_packets_at_once);
    if (unreaped_)
        reap();
    if (patience_ns_ != 0 && monotonic_ns() >= patience_ns_)
        tell_all_ends();
    if (deadline_ns_ != 0 && monotonic_ns() >= deadline_ns_)
        reach_deadline();
    if (equipment_.feeding.missed(monotonic_ns()))
        miss_heartbeat();
}

/// EINTR follows SIGCONT, signal(7). Without this call nothing is noticed any more: better to end.
void Launcher::fail_to_wait(int error)
{
    if (error == EINTR)
        return;
    complain("could not wait for %zu descriptors: %s; ending", polled_.size(), errno_text(error));
    given_up_ = true;
}

void Launcher::read_signals()
{
    signalfd_siginfo info{};
    while (::read(equipment_.signals.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap();
            continue;
        }
        if (info.ssi_signo == SIGHUP)
            hang_up(info);
        else
            forward(static_cast<int>(info.ssi_signo));
    }
}

void Launcher::reap()
{
    siginfo_t info{};
    std::size_t count = 0;
    // The zombie is looked at before it is reaped: until then its pid and its process group belong to nobody else.
    for (; count < ends_at_once && ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
         ++count) {
        const auto of_pid = [&](const Module& module) { return module.pid == info.si_pid; };
        const auto found = std::find_if(modules_.begin(), modules_.end(), of_pid);
        if (found != modules_.end()) {
            module_ended(static_cast<std::uint32_t>(found - modules_.begin()));
        } else {
            int status = 0;
            ::waitpid(info.si_pid, &status, 0);
            std::replace(spared_.begin(), spared_.end(), info.si_pid, pid_t{0});
            if (info.si_pid == equipment_.manager)
                manager_ended(info);
            if (info.si_pid == reload_.judge_pid())
                follow(reload_.judged(status));
            if (info.si_pid == equipment_.record.writer())
                equipment_.record.writer_ended(status);
        }
        info = {};
    }
    unreaped_ = count == ends_at_once;
    if (count > 0)
        kill_orphans();
    if (patience_ns_ != 0)
        tell_all_ends();
}

/// Its end of the socket says that it is gone, unless it gave that to somebody else; here is why.
void Launcher::manager_ended(const siginfo_t& info)
{
    equipment_.manager = 0;
    if (equipment_.control)
        read_control(most_packets_left); // its last word came before its end
    if (state_ == State::finishing && info.si_code == CLD_EXITED)
        return;
    const char* name = info.si_code == CLD_EXITED ? nullptr : ::sigabbrev_np(info.si_status);
    if (name != nullptr)
        report(JournalMessage::manager_ended, LOG_CRIT, "the manager (pid %d) was killed by SIG%s (%d)", info.si_pid,
               name, info.si_status);
    else
        report(JournalMessage::manager_ended, LOG_CRIT, "the manager (pid %d) ended with exit code %d", info.si_pid,
               info.si_status);
    lose_manager("ended");
}

std::span<pid_t> Launcher::inherited()
{
    return std::span{spared_}.first(spared_.size() - supervising_children - modules_.size());
}

void Launcher::kill_orphans()
{
    auto own = spared_.begin() + static_cast<std::ptrdiff_t>(inherited().size());
    *own++ = equipment_.manager;
    *own++ = reload_.judge_pid();
    *own++ = equipment_.record.writer();
    std::transform(modules_.begin(), modules_.end(), own, [](const Module& module) { return module.pid; });
    kill_children(spared_, children_);
}

void Launcher::module_ended(std::uint32_t number)
{
    auto& module = modules_[number];
    if (module.status)
        resolve_start(number);
    if (module.pid == 0)
        return;
    signal_tree(number, SIGKILL); // what it started ends with it
    int status = 0;
    rusage usage{};
    ::wait4(module.pid, &status, 0, &usage);
    // From here on the pid may be somebody else's, and tell() signals what still runs if the manager does not listen.
    const pid_t pid = std::exchange(module.pid, 0);
    module.pidfd.reset();
    module.denied.stop();
    if (!module.executed)
        return;
    module.ending = true;
    module.ended = {.module = number,
                    .pid = pid,
                    .status = status,
                    .user_us = microseconds(usage.ru_utime),
                    .system_us = microseconds(usage.ru_stime),
                    .max_rss_kb = static_cast<std::uint64_t>(usage.ru_maxrss),
                    .system_call = module.denied.number(),
                    .out_of_memory = equipment_.control_groups.take_oom_kills(number)};
    if (patience_ns_ == 0)
        patience_ns_ = monotonic_ns() + plan_.stop_timeout_ms * ns_per_ms;
}

/// A successor must not meet what is left of this one, which has been killed but may take its time.
void Launcher::tell_end(std::uint32_t number)
{
    auto& module = modules_[number];
    const bool some_left = unreaped_ || equipment_.control_groups.populated(number);
    if (some_left && monotonic_ns() < patience_ns_)
        return;
    if (std::exchange(module.ending, false))
        tell(module.ended);
    if (std::none_of(modules_.begin(), modules_.end(), [](const Module& one) { return one.ending; }))
        patience_ns_ = 0;
}

void Launcher::tell_all_ends()
{
    for (std::uint32_t number = 0; number < modules_.size(); ++number)
        if (modules_[number].ending)
            tell_end(number);
}

void Launcher::resolve_start(std::uint32_t number)
{
    auto& module = modules_[number];
    auto status = receive_status(module.status.get());
    if (status.kind == Status::Kind::listener) {
        module.denied.watch(std::move(status.listener));
        status = receive_status(module.status.get());
    }
    if (status.kind == Status::Kind::nothing)
        return;
    module.status.reset();
    const bool filtered = plan_.modules[number].system_call_policy == SystemCallPolicy::allow_list;
    module.executed = status.kind == Status::Kind::executes && module.denied.watched() == filtered;
    if (!module.executed) {
        // It is on its way to _exit(2), or its listener was lost. Whoever is told may ask for another attempt at once.
        signal_tree(number, SIGKILL);
        ::waitpid(std::exchange(module.pid, 0), nullptr, 0);
        module.pidfd.reset();
        module.denied.stop();
        return tell(StartFailed{.module = number,
                                .stage = static_cast<std::uint32_t>(status.failure.stage),
                                .error = status.failure.error});
    }
    const std::array descriptors{module.pidfd.get(), module.output.get()};
    tell(Started{.module = number, .pid = module.pid, .forked_ns = module.forked_ns, .executed_ns = monotonic_ns()},
         std::span{descriptors}.first(module.output ? 2 : 1));
    module.output.reset();
}

void Launcher::read_control(int most_packets)
{
    Packet packet;
    for (int left = most_packets; left > 0; --left) {
        switch (receive(equipment_.control.get(), packet)) {
        case Received::packet:
            dispatch(packet);
            break;
        case Received::nothing:
            return;
        case Received::closed:
            return lose_manager("ended");
        case Received::broken:
            return lose_manager("sent a malformed packet");
        }
        if (!equipment_.control)
            return;
    }
}

void Launcher::tell_packet(const void* data, std::size_t size, std::span<const int> descriptors)
{
    if (!equipment_.control || send_packet(equipment_.control.get(), data, size, descriptors))
        return;
    // Of one that has ended, the last words may still be to be read; read_control() meets its end after them.
    const bool ended = errno == EPIPE || errno == ECONNRESET || errno == ECONNREFUSED;
    if (!ended && state_ == State::running)
        lose_manager("does not read what it is told");
}

void Launcher::signal_all(int number)
{
    for (std::size_t i = 0; i < modules_.size(); ++i)
        if (modules_[i].pid != 0)
            signal_tree(i, number);
}

void Launcher::signal_tree(std::size_t number, int signal)
{
    const auto pid = modules_[number].pid;
    if (signal == SIGKILL)
        equipment_.control_groups.kill(number);
    // A child that has not come to setsid(2) yet has no group of its own.
    if (pid != 0 && ::kill(-pid, signal) != 0)
        ::kill(pid, signal);
}

} // namespace belay::launcher
