// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/hostile_manager.hpp"

#include "launcher/protocol.hpp"
#include "launcher/stages.hpp"
#include "tests/fuzz/require.hpp"

#include <climits>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>

using namespace belay;
using namespace belay::launcher;

namespace {

constexpr unsigned most_starts = 6; ///< of an input; each costs milliseconds
constexpr unsigned most_waits = 8;
constexpr int longest_wait_ms = 20;

std::vector<FileDescriptor> take_descriptors(msghdr& message)
{
    std::vector<FileDescriptor> result;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        require(header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS, "only descriptors come along");
        for (std::size_t at = 0; at < header->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(header) + at, sizeof descriptor);
            result.emplace_back(descriptor);
        }
    }
    return result;
}

bool has_ended(int process)
{
    pollfd entry{process, POLLIN, 0};
    return ::poll(&entry, 1, 0) == 1;
}

/// The value of each `key` in /proc/PID/status; empty if the process is gone.
std::vector<std::string> status_of(pid_t pid, std::span<const char* const> keys)
{
    std::vector<std::string> result;
    std::ifstream file{"/proc/" + std::to_string(pid) + "/status"};
    for (std::string line; std::getline(file, line);)
        for (const std::string key : keys)
            if (line.starts_with(key + ":\t"))
                result.push_back(line.substr(key.size() + 2));
    return result;
}

} // namespace

HostileManager::HostileManager(FileDescriptor socket, const LaunchPlan& plan)
    : socket_(std::move(socket)), plan_(plan), running_(plan.modules.size())
{}

void HostileManager::run(std::span<const std::uint8_t> script)
{
    script_ = script;
    while (!script_.empty())
        perform(static_cast<char>(take()));
    socket_.reset();
}

std::uint8_t HostileManager::take()
{
    if (script_.empty())
        return 0;
    const auto byte = script_.front();
    script_ = script_.subspan(1);
    return byte;
}

void HostileManager::perform(char what)
{
    switch (what) {
    case 's':
        return start();
    case 'k':
        return signal();
    case 'h': {
        const Heartbeat packet{.healthy = take() & 1U, .sequence = 0};
        return say(&packet, sizeof packet);
    }
    case 'c': {
        Record packet;
        packet.text.fill(static_cast<char>(take()));
        return say(&packet, sizeof packet);
    }
    case 'n':
        return notify();
    case 'f':
        return finish();
    case 'r':
        return send_raw();
    case 'd':
        with_descriptors_ = true;
        return;
    case 'w':
        return hear();
    case 't':
        ::syscall(SYS_kill, ::getpid(), SIGTERM);
        return;
    default:
        return;
    }
}

void HostileManager::say(const void* data, std::size_t size)
{
    const std::array descriptors{STDIN_FILENO, STDERR_FILENO};
    const std::span<const int> all{descriptors};
    send_packet(socket_.get(), data, size, all.first(std::exchange(with_descriptors_, false) ? 2 : 0));
}

void HostileManager::start()
{
    const Start packet{.module = take() & 7U, .attempt = asked_};
    if (asked_ == most_starts)
        return;
    ++asked_;
    say(&packet, sizeof packet);
}

void HostileManager::signal()
{
    constexpr std::array signals{SIGTERM, SIGKILL, SIGABRT, 0, SIGSTOP, -SIGTERM, SIGHUP, 1 << 20};
    const auto module = take() & 7U;
    const auto number = signals.at(take() & 7U);
    const Signal packet{.module = module, .signal = number, .scope = static_cast<Scope>(take() & 3U)};
    say(&packet, sizeof packet);
}

void HostileManager::notify()
{
    Notify packet{.kind = static_cast<Notification>(take() & 7U)};
    const auto size = std::min<std::size_t>({take(), packet.text.size(), script_.size()});
    std::copy_n(script_.begin(), size, packet.text.begin()); // need not end in NUL
    script_ = script_.subspan(size);
    say(&packet, sizeof packet);
}

void HostileManager::finish()
{
    constexpr std::array codes{0, 1, 255, 256, -1, INT_MAX, INT_MIN, 7};
    const Finish packet{.exit_code = codes.at(take() & 7U)};
    say(&packet, sizeof packet);
}

void HostileManager::send_raw()
{
    const std::size_t wanted = take();
    const bool too_long = wanted > SCHAR_MAX;
    const auto size = std::min(wanted & std::size_t{SCHAR_MAX}, script_.size());
    std::vector<std::uint8_t> bytes(script_.begin(), script_.begin() + static_cast<std::ptrdiff_t>(size));
    script_ = script_.subspan(size);
    if (too_long)
        bytes.resize(bytes.size() + largest_packet + 1);
    std::uint32_t opcode = 0;
    if (bytes.size() >= sizeof opcode)
        std::memcpy(&opcode, bytes.data(), sizeof opcode);
    if (static_cast<Opcode>(opcode) == Opcode::start && bytes.size() == sizeof(Start) && asked_++ >= most_starts)
        return;
    say(bytes.data(), bytes.size());
}

void HostileManager::hear()
{
    pollfd entry{socket_.get(), POLLIN, 0};
    if (waits_++ >= most_waits || ::poll(&entry, 1, longest_wait_ms) != 1)
        return;
    Packet packet;
    iovec part{packet.bytes.data(), packet.bytes.size()};
    constexpr std::size_t room = 4;
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(room * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const auto size = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size <= 0)
        return; // the launcher has closed its end
    packet.size = static_cast<std::size_t>(size);
    require((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0, "the launcher's packets have the protocol's sizes");
    judge(packet, take_descriptors(message));
}

void HostileManager::judge(const Packet& packet, std::span<const FileDescriptor> descriptors)
{
    require(packet.size >= sizeof(Opcode), "the launcher's packets have an opcode");
    const auto opcode = packet.as<Opcode>();
    require(opcode == Opcode::started || descriptors.empty(), "only a start brings descriptors");
    if (opcode == Opcode::started) {
        const auto started = packet.as<Started>();
        require(packet.size == sizeof started && started.module < running_.size(), "what started is in the plan");
        require(++heard_ <= asked_, "nothing starts unless it was asked for");
        require(descriptors.size() == (plan_.prefix_output ? 2U : 1U), "it brings its pidfd, and its output if asked");
        require(running_[started.module] == 0, "no module runs twice");
        running_[started.module] = started.pid;
        judge_process(started.module, started.pid, descriptors.front().get());
    } else if (opcode == Opcode::start_failed) {
        const auto failed = packet.as<StartFailed>();
        require(packet.size == sizeof failed && failed.module < running_.size(), "what failed is in the plan");
        require(++heard_ <= asked_, "nothing fails unless it was asked for");
        require(failed.stage <= static_cast<std::uint32_t>(StageId::fork), "the stage is one of the table");
        require(running_[failed.module] == 0, "what runs was not started again");
    } else if (opcode == Opcode::exited) {
        const auto exited = packet.as<Exited>();
        require(packet.size == sizeof exited && exited.module < running_.size(), "what ended is in the plan");
        require(running_[exited.module] == exited.pid && exited.pid > 1, "what ended had started");
        running_[exited.module] = 0;
    } else {
        require(opcode == Opcode::signal_received && packet.size == sizeof(SignalReceived),
                "the launcher says what is in the protocol");
    }
}

/// For as long as it lives, it is what its plan says.
void HostileManager::judge_process(std::uint32_t module, pid_t pid, int process) const
{
    const auto& wanted = plan_.modules[module];
    std::error_code error;
    const auto program = std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe", error);
    constexpr std::array keys{"Uid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};
    const auto status = status_of(pid, keys);
    if (error || status.size() != keys.size() || has_ended(process))
        return;
    require(program == std::filesystem::canonical(wanted.program, error), "the program is the plan's");
    const auto uid = std::to_string(wanted.uid);
    require(status[0] == uid + '\t' + uid + '\t' + uid + '\t' + uid, "its user is the plan's");
    const bool exact = wanted.privileges == Privileges::exact;
    require(!exact || std::all_of(status.begin() + 1, status.end(),
                                  [](const std::string& set) { return set == "0000000000000000"; }),
            "it holds no capability");
}
