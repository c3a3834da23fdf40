// SPDX-License-Identifier: Apache-2.0
//
// Gaining by executing: programs that carry privileges, and programs of our own.

#include "tests/attack/attempt.hpp"

#include <array>
#include <csignal>
#include <filesystem>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace attack {

namespace {

namespace fs = std::filesystem;

/// The program prints its effective uid and capabilities, as `hostile --whoami` does.
Outcome gains(const Context& context, const std::string& program)
{
    int code = 0;
    const auto text = output_of({program, "--whoami"}, code);
    if (text.empty()) {
        errno = code;
        return judge(-1);
    }
    const auto told = nlohmann::json::parse(text);
    const auto uid = told.at("euid").get<unsigned>();
    const auto held = told.at("effective").get<std::uint64_t>();
    const bool more = (held & ~static_cast<std::uint64_t>(context.number("declared"))) != 0;
    return (uid == 0 && context.number("uid") != 0) || more ? escaped(text) : refused(0, "executed, gained nothing");
}

Outcome setuid_program(const Context& context)
{
    return gains(context, context.text("setuid_program"));
}

Outcome setgid_program(const Context& context)
{
    int code = 0;
    const auto text = output_of({context.text("setgid_program"), "--whoami"}, code);
    errno = code;
    if (text.empty())
        return judge(-1);
    return nlohmann::json::parse(text).at("egid") == 0 ? escaped(text) : refused(0, "executed, gained nothing");
}

Outcome capable_program(const Context& context)
{
    return gains(context, context.text("capable_program"));
}

/// A copy of /bin/true in a directory that we may write.
std::string own_program(const Context& context, const std::string& name)
{
    const auto path = context.text("home") + "/" + name + std::to_string(::getpid());
    fs::copy_file("/bin/true", path);
    fs::permissions(path, fs::perms::owner_all);
    return path;
}

Outcome execute(const std::vector<std::string>& command)
{
    int code = 0;
    output_of(command, code);
    errno = code;
    return code == 0 ? escaped("it ran") : judge(-1);
}

Outcome program_at_home(const Context& context)
{
    return execute({own_program(context, "program")});
}

Outcome script_at_home(const Context& context)
{
    const auto path = context.text("home") + "/script" + std::to_string(::getpid());
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    constexpr std::string_view text = "#!/bin/true\n";
    if (::write(file, text.data(), text.size()) < 0 || ::close(file) != 0)
        return unjudged("no script");
    return execute({path});
}

Outcome program_in_shared_memory(const Context& /*unused*/)
{
    const auto path = "/dev/shm/program" + std::to_string(::getpid());
    fs::copy_file("/bin/true", path);
    fs::permissions(path, fs::perms::owner_all);
    const auto outcome = execute({path});
    fs::remove(path);
    return outcome;
}

Outcome program_by_loader(const Context& context)
{
    return execute({context.text("loader"), own_program(context, "loaded")});
}

Outcome program_in_memory(const Context& /*unused*/)
{
    const int file = ::memfd_create("program", 0);
    const int source = ::open("/bin/true", O_RDONLY | O_CLOEXEC);
    struct stat status
    {};
    ::fstat(source, &status);
    if (::copy_file_range(source, nullptr, file, nullptr, static_cast<std::size_t>(status.st_size), 0) < 0) {
        const auto text = slurp("/bin/true");
        if (::write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
            return unjudged("no memfd");
    }
    const pid_t pid = ::fork();
    if (pid == 0) {
        std::array<char*, 2> arguments{const_cast<char*>("true"), nullptr};
        ::syscall(SYS_execveat, file, "", arguments.data(), environ, AT_EMPTY_PATH);
        ::_exit(errno);
    }
    int how = 0;
    ::waitpid(pid, &how, 0);
    errno = WEXITSTATUS(how);
    return errno == 0 ? escaped("it ran") : judge(-1);
}

/// File capabilities for a program of our own.
Outcome own_file_capabilities(const Context& context)
{
    const auto path = own_program(context, "capable");
    const std::array<std::uint32_t, 5> value{0x02000001, 1U << 12U, 0, 0, 0}; // cap_net_admin+ep
    return judge(::syscall(SYS_setxattr, path.c_str(), "security.capability", value.data(), sizeof value, 0));
}

Outcome own_setuid_root(const Context& context)
{
    const auto path = own_program(context, "setuid");
    return judge(::chown(path.c_str(), 0, 0) == 0 ? ::chmod(path.c_str(), 04755) : -1);
}

constexpr std::array table{
    Attempt{"execution", "a setuid-root program", "be root", setuid_program},
    Attempt{"execution", "a setgid-root program", "be in root's group", setgid_program},
    Attempt{"execution", "a program with cap_net_admin+ep", "hold CAP_NET_ADMIN", capable_program},
    Attempt{"execution", "setxattr: capabilities for a file", "make such a program", own_file_capabilities},
    Attempt{"execution", "chown root, chmod u+s", "make such a program", own_setuid_root},
    Attempt{"execution", "a program of ours at home", "run what it downloaded", program_at_home},
    Attempt{"execution", "a script of ours at home", "run what it downloaded", script_at_home},
    Attempt{"execution", "a program of ours in /dev/shm", "run what it downloaded", program_in_shared_memory},
    Attempt{"execution", "a program of ours by ld.so", "run what it downloaded", program_by_loader},
    Attempt{"execution", "a program of ours in a memfd", "run what it downloaded", program_in_memory},
};

} // namespace

std::span<const Attempt> executions()
{
    return table;
}

} // namespace attack
