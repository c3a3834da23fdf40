// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/control.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/protocol.hpp"
#include "launcher/signal_domain.hpp"
#include "launcher/stages.hpp"
#include "plans.hpp"
#include "tests/root.hpp"
#include "tests/temporary_directory.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <type_traits>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/// The real launcher program; the test plays the manager over the socket.
namespace belay::launcher {

/// The launcher as a child of this process, in the plan's control group and signal domain. The pid it knows as the
/// manager's is that of a child of its own that ends after `finish`, as a manager does; this process holds the socket.
class Running
{
public:
    /// `preload`: a library for the launcher itself.
    /// `errors`: its standard error; -1: this process's.
    /// `earlier_child`: a program that sleeps is a child of the launcher before that begins.
    explicit Running(const LaunchPlan& plan, const char* preload = "", int errors = -1, bool earlier_child = false)
    {
        need_root();
        ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        std::array<int, 2> ends{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) == 0);
        control = FileDescriptor{ends[0]};
        const FileDescriptor other{ends[1]};
        const FileDescriptor memory = seal(encode(plan));
        std::array<int, 2> life{};
        REQUIRE(::pipe2(life.data(), O_CLOEXEC) == 0);
        const FileDescriptor manager_input{life[0]};
        manager_life = FileDescriptor{life[1]};
        pid = ::fork();
        REQUIRE(pid >= 0);
        if (pid == 0 && (errors < 0 || ::dup2(errors, STDERR_FILENO) >= 0))
            become_launcher(plan, memory.get(), other.get(), manager_input.get(), preload, earlier_child);
    }
    ~Running()
    {
        if (pid > 0) {
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, 0);
        }
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    Running(Running&&) = delete;
    Running& operator=(Running&&) = delete;

    template <typename Message>
    Message expect()
    {
        pollfd entry{control.get(), POLLIN, 0};
        REQUIRE(::poll(&entry, 1, 10000) == 1);
        Packet packet;
        const auto size = ::recv(control.get(), packet.bytes.data(), packet.bytes.size(), 0); // without its descriptors
        REQUIRE(size > 0);
        Message message;
        if (packet.as<Opcode>() == Opcode::start_failed && message.opcode != Opcode::start_failed) {
            const auto failed = packet.as<StartFailed>();
            FAIL(explain({static_cast<StageId>(failed.stage), failed.error}));
        }
        REQUIRE(size == static_cast<ssize_t>(sizeof message));
        message = packet.as<Message>();
        REQUIRE(message.opcode == Message{}.opcode);
        return message;
    }

    template <typename Message>
    void say(const Message& message)
    {
        REQUIRE(send(control.get(), message));
        if constexpr (std::is_same_v<Message, Finish>)
            manager_life.reset();
    }

    int exit_code()
    {
        int status = 0;
        REQUIRE(::waitpid(pid, &status, 0) == pid);
        pid = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    FileDescriptor control;
    FileDescriptor manager_life; ///< closed: the process that is taken for the manager ends
    pid_t pid = 0;

private:
    static FileDescriptor seal(const std::string& bytes)
    {
        FileDescriptor file{::memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
        REQUIRE(::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
        REQUIRE(::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
        return file;
    }

    [[noreturn]] static void become_launcher(const LaunchPlan& wanted, int plan, int socket, int manager_input,
                                             const char* preload, bool earlier_child)
    {
        if (wanted.signal_domain && !enter_signal_domain())
            ::_exit(126);
        if (!wanted.cgroup.empty() && !(std::ofstream{wanted.cgroup + "/cgroup.procs"} << 0 << std::flush))
            ::_exit(126);
        const pid_t manager = ::fork();
        if (manager == 0) {
            ::dup2(manager_input, STDIN_FILENO);
            ::execl("/bin/cat", "cat", nullptr); // until there is nothing more to read
            ::_exit(127);
        }
        ::fcntl(plan, F_SETFD, 0);
        ::fcntl(socket, F_SETFD, 0);
        const char* program = BELAY_LAUNCHER;
        if (*preload != '\0') {
            ::setenv("LD_PRELOAD", preload, 1);
            program = BELAY_DYNAMIC_LAUNCHER;
        }
        if (earlier_child && ::fork() == 0) {
            ::execl("/bin/sleep", "sleep", "60", nullptr);
            ::_exit(127);
        }
        ::execl(program, "launcher", "--plan-fd", std::to_string(plan).c_str(), "--control-fd",
                std::to_string(socket).c_str(), "--manager-pid", std::to_string(manager).c_str(), nullptr);
        ::_exit(127);
    }
};

inline LaunchPlan plan_of(std::vector<ProcessPlan> modules)
{
    LaunchPlan plan;
    plan.modules = std::move(modules);
    plan.manager = plan_for({"/bin/true"});
    plan.manager.program.clear();
    plan.stop_timeout_ms = 300;
    return plan;
}

inline std::string proc(pid_t pid, const std::string& key)
{
    std::ifstream file{"/proc/" + std::to_string(pid) + "/status"};
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(key + ":\t"))
            return line.substr(key.size() + 2);
    return {};
}

inline bool exists(pid_t pid)
{
    return ::kill(pid, 0) == 0;
}

/// Within ten seconds.
inline bool ends(pid_t pid)
{
    const FileDescriptor process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    pollfd entry{process.get(), POLLIN, 0};
    return !process || ::poll(&entry, 1, 10000) == 1;
}

/// A directory that modules can write, where they leave pids.
class Notes : public TemporaryDirectory
{
public:
    Notes() : TemporaryDirectory("notes") { ::chmod(path.c_str(), 0777); }

    [[nodiscard]] pid_t pid(const std::string& name) const
    {
        pid_t result = 0;
        std::ifstream{path / name} >> result;
        REQUIRE(result > 1);
        return result;
    }
};

} // namespace belay::launcher
