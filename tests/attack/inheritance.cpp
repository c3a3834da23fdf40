// SPDX-License-Identifier: Apache-2.0
//
// What somebody left lying about: descriptors, environment, terminals, keyrings.

#include "launcher/protocol.hpp"
#include "tests/attack/attempt.hpp"

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <linux/keyctl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace attack {

namespace {

namespace fs = std::filesystem;

Outcome anything_of(const Context& context, std::string_view kind)
{
    for (const auto& one : context.leaked)
        if (one.starts_with(kind))
            return escaped(one);
    return refused(0, "nothing there");
}

Outcome descriptors(const Context& context)
{
    return anything_of(context, "descriptor");
}

Outcome environment(const Context& context)
{
    return anything_of(context, "variable");
}

Outcome secrets(const Context& context)
{
    for (const pid_t pid : {context.self, context.launcher, context.manager})
        for (const auto* name : {"environ", "cmdline"})
            if (slurp(proc(pid, name)).find(context.text("secret")) != std::string::npos)
                return escaped(proc(pid, name));
    return refused(0, "nothing there");
}

/// The launcher's socket is of this kind.
Outcome opcodes(const Context& /*unused*/)
{
    constexpr int most = 1024;
    for (int descriptor = 0; descriptor < most; ++descriptor) {
        int kind = 0;
        socklen_t size = sizeof kind;
        if (::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &kind, &size) != 0 || kind != SOCK_SEQPACKET)
            continue;
        const belay::launcher::Finish finish;
        if (::send(descriptor, &finish, sizeof finish, MSG_NOSIGNAL) == sizeof finish)
            return escaped("descriptor " + std::to_string(descriptor) + " took `finish`");
    }
    return refused(0, "no such socket");
}

/// Standard output is the journal's socket under systemd; elsewhere it may be the file of whoever started the charger.
Outcome truncate_log(const Context& /*unused*/)
{
    const auto size = ::lseek(STDERR_FILENO, 0, SEEK_END);
    return size < 0 ? judge(size, {ESPIPE}) : judge(::ftruncate(STDERR_FILENO, size), {EPERM, EACCES, EINVAL});
}

/// All that are there; as if typed by whoever works at them.
Outcome terminals(long request)
{
    std::vector<std::string> paths{"/dev/tty", "/dev/console", "/dev/tty1"};
    std::error_code error;
    for (const auto& entry : fs::directory_iterator{"/dev/pts", error})
        if (entry.path().filename() != "ptmx")
            paths.push_back(entry.path());
    auto outcome = refused(ENOTTY);
    char typed = '\n';
    for (const auto& path : paths) {
        const int terminal = ::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        if (terminal >= 0 && ::ioctl(terminal, static_cast<unsigned long>(request), &typed) >= 0)
            return escaped(path);
        if (terminal >= 0 || errno != ENXIO)
            outcome.error = errno;
        ::close(terminal);
    }
    return outcome;
}

/// On a terminal of our own: what the filter is for.
Outcome own_terminal(const Context& /*unused*/)
{
    const int terminal = ::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        return unjudged("no terminal");
    char typed = '\n';
    ::setsid();
    ::ioctl(terminal, TIOCSCTTY, 0);
    return judge(::ioctl(terminal, TIOCSTI, &typed));
}

Outcome others_terminals(const Context& /*unused*/)
{
    return terminals(TIOCSTI);
}

Outcome console(const Context& /*unused*/)
{
    constexpr unsigned long tioclinux = 0x541c;
    char paste = 3;
    const int result = ::ioctl(STDIN_FILENO, tioclinux, &paste);
    return errno == ENOTTY ? escaped("the request went through to the device") : judge(result);
}

long key_control(int operation, long one, long two = 0, long three = 0)
{
    return ::syscall(SYS_keyctl, operation, one, two, three, 0);
}

Outcome session_keyring(const Context& /*unused*/)
{
    return judge(key_control(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING));
}

Outcome read_by_serial(const Context& context)
{
    std::array<char, 64> buffer{};
    return judge(key_control(KEYCTL_READ, context.number("key"), reinterpret_cast<long>(buffer.data()), buffer.size()));
}

Outcome change_by_serial(const Context& context)
{
    return judge(key_control(KEYCTL_SET_TIMEOUT, context.number("key"), 3600));
}

Outcome link_by_serial(const Context& context)
{
    return judge(key_control(KEYCTL_LINK, context.number("key"), KEY_SPEC_PROCESS_KEYRING));
}

Outcome add_key(const Context& /*unused*/)
{
    return judge(::syscall(SYS_add_key, "user", "owned", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

Outcome request_key(const Context& /*unused*/)
{
    const long result = ::syscall(SYS_request_key, "user", "no such key", nullptr, 0);
    return errno == ENOKEY ? escaped("the kernel looked for it") : judge(result);
}

constexpr std::array table{
    Attempt{"inheritance", "descriptors above 2", "use what the manager opened", descriptors},
    Attempt{"inheritance", "environment beyond the list", "learn of the manager's", environment},
    Attempt{"inheritance", "the manager's secrets", "learn of the manager's", secrets},
    Attempt{"inheritance", "opcodes on any socket we have", "command the launcher", opcodes},
    Attempt{"inheritance", "truncate the log", "erase traces", truncate_log},
    Attempt{"terminals", "TIOCSTI on others'", "type for another", others_terminals},
    Attempt{"terminals", "TIOCSTI on its own", "type for another", own_terminal},
    Attempt{"terminals", "TIOCLINUX", "paste for another", console},
    Attempt{"keyrings", "its session keyring", "find another's keys", session_keyring},
    Attempt{"keyrings", "read a key of root's by serial", "learn a secret", read_by_serial},
    Attempt{"keyrings", "expire a key by serial", "destroy a secret", change_by_serial},
    Attempt{"keyrings", "link a key by serial", "possess a secret", link_by_serial},
    Attempt{"keyrings", "add_key", "fill the kernel's memory", add_key},
    Attempt{"keyrings", "request_key", "have root run a program", request_key},
};

} // namespace

std::span<const Attempt> inheritance()
{
    return table;
}

} // namespace attack
