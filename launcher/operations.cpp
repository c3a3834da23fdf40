// SPDX-License-Identifier: Apache-2.0
//
// What the manager may say, and what the launcher does then.
#include "launcher/clock.hpp"
#include "launcher/complaint.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/journal.hpp"
#include "launcher/launcher.hpp"
#include "launcher/spawn.hpp"
#include "launcher/stages.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <utility>

namespace belay::launcher {

namespace {

/// So long a start goes on after each word of the manager's about it, whatever TimeoutStartSec= says: modules may take
/// their time, and each has its own limit. More often than this the manager speaks.
constexpr std::uint64_t start_extension_ms = 30'000;

bool allowed_signal(int number)
{
    return number == SIGTERM || number == SIGKILL || number == SIGABRT;
}

} // namespace

/// Everything the manager can say.
struct Launcher::Operation
{
    Opcode opcode;
    std::size_t size;
    bool only_while_running; ///< otherwise ignored: it may have been under way
    void (Launcher::*run)(const Packet&);
};

constexpr std::array<Launcher::Operation, 6> Launcher::operations{
    Operation{Opcode::start, sizeof(Start), true, &Launcher::start},
    Operation{Opcode::signal, sizeof(Signal), false, &Launcher::signal},
    Operation{Opcode::heartbeat, sizeof(Heartbeat), true, &Launcher::heartbeat},
    Operation{Opcode::notify, sizeof(Notify), false, &Launcher::notify},
    Operation{Opcode::finish, sizeof(Finish), true, &Launcher::finish},
    Operation{Opcode::record, sizeof(Record), false, &Launcher::record},
};

void Launcher::dispatch(const Packet& packet)
{
    Opcode opcode{};
    if (packet.size < sizeof opcode)
        return lose_manager("sent a packet without an opcode");
    std::memcpy(&opcode, packet.bytes.data(), sizeof opcode);
    const auto wanted = [&](const Operation& one) { return one.opcode == opcode; };
    const auto* operation = std::find_if(operations.begin(), operations.end(), wanted);
    if (operation == operations.end() || operation->size != packet.size)
        return lose_manager("sent a packet that no operation has");
    if (state_ == State::running || !operation->only_while_running)
        (this->*operation->run)(packet);
}

void Launcher::start(const Packet& packet)
{
    const auto request = packet.as<Start>();
    if (request.module >= modules_.size() || modules_[request.module].pid != 0 || modules_[request.module].ending)
        return lose_manager("asked to start a module that does not exist or runs already");
    auto& module = modules_[request.module];
    module = Module{};
    module.forked_ns = monotonic_ns();
    const auto leaf = equipment_.control_groups.make_leaf(request.module);
    auto start = equipment_.starts[request.module].start();
    const auto stream = open_stream(request.module);
    start.output = stream.get();
    auto spawned = !leaf ? tl::unexpected(leaf.error()) : spawn(start, plan_.prefix_output, leaf->get());
    if (!spawned)
        return tell(StartFailed{
            .module = request.module, .stage = static_cast<std::uint32_t>(StageId::fork), .error = spawned.error()});
    module.pid = spawned->pid;
    module.pidfd = std::move(spawned->pidfd);
    module.status = std::move(spawned->status);
    module.output = std::move(spawned->output);
}

/// One for each start: it outlives the manager, and a journald that was replaced meanwhile does not matter. Whoever
/// writes is who journald names, so it does not matter either that this process opens it.
FileDescriptor Launcher::open_stream(std::uint32_t number)
{
    if (!plan_.journal_output)
        return {};
    auto stream = open_journal_stream(stream_headers_[number]);
    if (!stream && !without_stream_)
        report(JournalMessage::journal_lost, LOG_WARNING,
               "could not open a journal stream for the output of %s: %s; as long as that is so, modules print to "
               "standard error of the launcher",
               plan_.modules[number].id.c_str(), errno_text(stream.error()));
    without_stream_ = !stream;
    return stream ? std::move(*stream) : FileDescriptor{};
}

void Launcher::signal(const Packet& packet)
{
    const auto request = packet.as<Signal>();
    if (request.module >= modules_.size() || !allowed_signal(request.signal) || request.scope > Scope::tree)
        return lose_manager("asked for a signal that it may not send");
    const auto pid = modules_[request.module].pid;
    if (pid != 0 && request.scope == Scope::tree)
        signal_tree(request.module, request.signal);
    else if (pid != 0)
        ::kill(pid, request.signal);
    // Who is stopped would not die of it, nor dump core.
    if (pid != 0 && request.signal == SIGABRT)
        ::kill(pid, SIGCONT);
}

void Launcher::heartbeat(const Packet& packet)
{
    equipment_.feeding.heartbeat(packet.as<Heartbeat>().healthy != 0, monotonic_ns(), equipment_.service_manager);
}

void Launcher::record(const Packet& packet)
{
    const auto request = packet.as<Record>();
    equipment_.record.add_of_manager({request.text.data(), ::strnlen(request.text.data(), request.text.size())});
}

void Launcher::notify(const Packet& packet)
{
    auto request = packet.as<Notify>();
    request.text.back() = '\0';
    switch (request.kind) {
    case Notification::ready:
        return say_ready();
    case Notification::stopping:
        return say_stopping();
    case Notification::status:
        return equipment_.service_manager.status(request.text.data(), ready_ ? 0 : start_extension_ms);
    }
    lose_manager("asked for a notification that does not exist");
}

void Launcher::say_ready()
{
    ready_ = true;
    equipment_.service_manager.ready();
}

/// The manager has its time for it, as after a signal.
void Launcher::say_stopping()
{
    equipment_.service_manager.stopping();
    expect_end();
}

void Launcher::finish(const Packet& packet)
{
    const auto request = packet.as<Finish>();
    if (request.exit_code < 0 || request.exit_code > 255 || request.exit_code == exit_configuration)
        return lose_manager("asked for an exit code that it cannot have");
    const bool may_reload = told_to_reload_ && !plan_.invocation.program.empty();
    if (request.after > After::reload || (request.after == After::reload && !may_reload))
        return lose_manager("asked for what cannot follow the end");
    equipment_.feeding.expect_no_more();
    exit_code_ = request.exit_code;
    reloads_ = request.after == After::reload;
    state_ = State::finishing;
    set_deadline(plan_.stop_timeout_ms);
    signal_all(SIGKILL);
}

} // namespace belay::launcher
