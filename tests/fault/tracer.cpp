// SPDX-License-Identifier: Apache-2.0
#include "tests/fault/tracer.hpp"

#include "launcher/descriptor.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include <elf.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

namespace belay::fault {

namespace {

[[noreturn]] void fail(const char* what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

constexpr unsigned long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                                  PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;

void set_registers(pid_t pid, user_regs_struct& registers)
{
    iovec part{&registers, sizeof registers};
    if (::ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &part) != 0)
        fail("PTRACE_SETREGSET");
}

user_regs_struct registers_of(pid_t pid)
{
    user_regs_struct registers{};
    iovec part{&registers, sizeof registers};
    if (::ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part) != 0)
        fail("PTRACE_GETREGSET");
    return registers;
}

/// At the entry of a call: it will not be made.
void skip_call(pid_t pid)
{
#if defined(__x86_64__)
    auto registers = registers_of(pid);
    registers.orig_rax = ~0ULL;
    set_registers(pid, registers);
#elif defined(__aarch64__)
    int number = -1;
    iovec part{&number, sizeof number};
    if (::ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &part) != 0)
        fail("PTRACE_SETREGSET");
#else
#error "teach skip_call() this architecture"
#endif
}

/// At its exit: what its caller is told.
void set_result(pid_t pid, int error)
{
    auto registers = registers_of(pid);
#if defined(__x86_64__)
    registers.rax = static_cast<unsigned long long>(-static_cast<long long>(error));
#elif defined(__aarch64__)
    registers.regs[0] = static_cast<unsigned long long>(-static_cast<long long>(error));
#endif
    set_registers(pid, registers);
}

class Follower
{
public:
    Follower(const Section& section, std::optional<Injection> injection, Trace& result, pid_t process)
        : section_(section), injection_(injection), result_(result), process_(process)
    {
        if (section.subject == Subject::process)
            subject_ = process;
    }

    /// Until nobody is traced any more.
    void run()
    {
        for (;;) {
            int status = 0;
            const pid_t pid = ::waitpid(-1, &status, __WALL);
            if (pid < 0 && errno == ECHILD)
                return;
            if (pid < 0)
                fail("waitpid");
            if (pid == process_ && (WIFEXITED(status) || WIFSIGNALED(status))) {
                result_.status = status;
                process_ended_ = true;
            }
            if (WIFSTOPPED(status))
                stopped(pid, status);
            if (detached_ && process_ended_)
                return;
        }
    }

private:
    void stopped(pid_t pid, int status)
    {
        if (subject_ == 0 && pid != process_)
            subject_ = pid; // it may be heard of before the call that created it returns
        const int event = status >> 16;
        int signal = WSTOPSIG(status);
        if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
            created(pid);
            signal = 0;
        } else if (event == PTRACE_EVENT_EXEC) {
            if (pid == subject_ && execs_++ == section_.execs_before && section_.last_call == -1)
                return end(pid);
            signal = 0;
        } else if (signal == (SIGTRAP | 0x80)) {
            if (pid == subject_ && at_call(pid))
                return end(pid);
            signal = 0;
        } else if (signal == SIGSTOP || signal == SIGTRAP) {
            signal = 0; // how a traced process begins
        }
        const auto request = pid == subject_ ? PTRACE_SYSCALL : PTRACE_CONT;
        if (::ptrace(request, pid, nullptr, signal) != 0 && errno != ESRCH)
            fail("resume");
    }

    void created(pid_t parent)
    {
        unsigned long child = 0;
        if (::ptrace(PTRACE_GETEVENTMSG, parent, nullptr, &child) != 0)
            fail("PTRACE_GETEVENTMSG");
        if (subject_ == 0 && parent == process_)
            subject_ = static_cast<pid_t>(child);
    }

    /// True at the end of the section.
    bool at_call(pid_t pid)
    {
        __ptrace_syscall_info info{};
        if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) < 0)
            fail("PTRACE_GET_SYSCALL_INFO");
        if (info.op == PTRACE_SYSCALL_INFO_EXIT && skipped_) {
            set_result(pid, injection_->error);
            skipped_ = false;
        }
        if (info.op != PTRACE_SYSCALL_INFO_ENTRY || execs_ < section_.execs_before)
            return false;
        const auto number = static_cast<long>(info.entry.nr);
        if (number == section_.last_call)
            return true;
        if (injection_ && injection_->occurrence == result_.calls.size()) {
            skip_call(pid);
            skipped_ = true;
            result_.injected = true;
        }
        result_.calls.push_back({number, info.entry.args[0], info.entry.args[1]});
        return false;
    }

    /// From here on everybody runs freely.
    void end(pid_t pid)
    {
        result_.complete = true;
        detached_ = true;
        if (::ptrace(PTRACE_DETACH, pid, nullptr, 0) != 0)
            fail("PTRACE_DETACH");
    }

    const Section& section_;
    std::optional<Injection> injection_;
    Trace& result_;
    pid_t process_;
    pid_t subject_ = 0; ///< 0: not created yet
    std::size_t execs_ = 0;
    bool skipped_ = false; ///< between entry and exit of the call that is made to fail
    bool process_ended_ = false;
    bool detached_ = false;
};

[[noreturn]] void run_body(const std::function<int(int)>& body, int output)
{
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0 || ::raise(SIGSTOP) != 0)
        ::_exit(126);
    ::_exit(body(output));
}

std::string read_all(int descriptor)
{
    std::string text;
    std::array<char, 4096> buffer{};
    ssize_t size = 0;
    while ((size = ::read(descriptor, buffer.data(), buffer.size())) > 0)
        text.append(buffer.data(), static_cast<std::size_t>(size));
    return text;
}

} // namespace

Trace trace(const Section& section, std::optional<Injection> injection, const std::function<int(int output)>& body)
{
    Trace result;
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        fail("pipe2");
    const FileDescriptor reader{ends[0]};
    FileDescriptor writer{ends[1]};
    const pid_t process = ::fork();
    if (process < 0)
        fail("fork");
    if (process == 0)
        run_body(body, writer.get());
    writer.reset();
    int status = 0;
    if (::waitpid(process, &status, 0) != process || !WIFSTOPPED(status))
        fail("waitpid");
    if (::ptrace(PTRACE_SETOPTIONS, process, nullptr, options) != 0)
        fail("PTRACE_SETOPTIONS");
    const auto request = section.subject == Subject::process ? PTRACE_SYSCALL : PTRACE_CONT;
    if (::ptrace(request, process, nullptr, 0) != 0)
        fail("resume");
    Follower{section, injection, result, process}.run();
    result.output = read_all(reader.get());
    return result;
}

} // namespace belay::fault
