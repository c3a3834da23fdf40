// SPDX-License-Identifier: Apache-2.0
#include "manager/handover.hpp"

#include "launcher/capability_sets.hpp"
#include "launcher/descriptor_limit.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/stages.hpp"

#include <climits>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

tl::unexpected<std::string> failure(const std::string& what, int error, const std::string& remedy = {})
{
    return tl::unexpected("could not " + what + ": " + errno_text(error) + remedy);
}

constexpr std::array forwarded{SIGINT, SIGTERM, SIGHUP};

/// The launcher needs nothing but whom it tells what: what modules get is in the plan.
std::vector<std::string> launcher_environment()
{
    std::vector<std::string> result;
    for (const auto* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"})
        if (const char* value = std::getenv(name))
            result.push_back(std::string{name} + '=' + value);
    return result;
}

std::vector<char*> pointers(std::vector<std::string>& texts)
{
    std::vector<char*> result;
    for (auto& text : texts)
        result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

tl::unexpected<std::string> become_launcher(const std::string& launcher, const FileDescriptor& plan,
                                            const FileDescriptor& control, pid_t manager)
{
    for (const int descriptor : {plan.get(), control.get()})
        if (::fcntl(descriptor, F_SETFD, 0) != 0)
            return failure("pass a descriptor on", errno);
    std::vector<std::string> arguments{"launcher",
                                       "--plan-fd",
                                       std::to_string(plan.get()),
                                       "--control-fd",
                                       std::to_string(control.get()),
                                       "--manager-pid",
                                       std::to_string(manager)};
    auto environment = launcher_environment();
    ::execve(launcher.c_str(), pointers(arguments).data(), pointers(environment).data());
    return failure("execute " + launcher, errno);
}

/// JOURNAL_STREAM (systemd.exec(5)) tells the manager's log where it goes; the rest is the plan's.
void set_environment(const launcher::ProcessPlan& plan)
{
    const char* journal = std::getenv("JOURNAL_STREAM");
    const std::string stream = journal != nullptr ? journal : "";
    ::clearenv();
    for (const auto& entry : plan.environment) {
        const auto equals = entry.find('=');
        ::setenv(entry.substr(0, equals).c_str(), entry.c_str() + equals + 1, 1);
    }
    if (!stream.empty())
        ::setenv("JOURNAL_STREAM", stream.c_str(), 1);
}

tl::expected<void, std::string> become_manager(const launcher::ProcessPlan& plan)
{
    for (const int number : forwarded)
        if (::signal(number, SIG_IGN) == SIG_ERR) // the launcher tells of them
            return failure("ignore a signal", errno);
    sigset_t none;
    ::sigemptyset(&none);
    if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0)
        return failure("unblock signals", errno);
    // The terminal's keys are for the shell.
    const FileDescriptor null_device{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    if (!null_device || ::dup2(null_device.get(), STDIN_FILENO) < 0)
        return failure("close standard input", errno);
    set_environment(plan);
    if (const auto raised = launcher::raise_descriptor_limit(); !raised)
        return tl::unexpected(raised.error());
    if (const auto dropped = launcher::drop_privileges(plan); !dropped)
        return tl::unexpected("the manager could not drop its privileges: " + launcher::explain(dropped.error()));
    // Its memory is nobody's business, not even that of modules with the same user.
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return failure("become undumpable", errno);
    // Who is stopped would not see that the launcher is gone, and be left behind. Set last: new ids clear it.
    if (::prctl(PR_SET_PDEATHSIG, SIGCONT, 0, 0, 0) != 0)
        return failure("have itself continued when the launcher dies", errno);
    return {};
}

} // namespace

tl::expected<void, std::string> settle_descriptors()
{
    if (::close_range(STDERR_FILENO + 1, ~0U, 0) != 0)
        return failure("close the inherited descriptors (Linux 5.11 is needed)", errno);
    int descriptor = -1;
    do {
        descriptor = ::open("/dev/null", O_RDWR);
    } while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor < 0)
        return failure("open /dev/null", errno);
    ::close(descriptor);
    return {};
}

tl::expected<void, std::string> hold_signals()
{
    sigset_t waiting;
    ::sigemptyset(&waiting);
    for (const int number : forwarded)
        ::sigaddset(&waiting, number);
    ::sigaddset(&waiting, SIGCHLD);
    // Whoever ignores them passes that on: ends of children would be hidden, and a judge would not be stopped in time.
    for (const int number : {SIGCHLD, SIGALRM})
        ::signal(number, SIG_DFL);
    if (::sigprocmask(SIG_BLOCK, &waiting, nullptr) != 0)
        return failure("block signals", errno);
    return {};
}

tl::expected<FileDescriptor, std::string> seal(const launcher::LaunchPlan& plan)
{
    const auto bytes = launcher::encode(plan);
    FileDescriptor file{::memfd_create("launch-plan", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    if (!file || ::write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
        return failure("write the launch plan", errno);
    if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
        return failure("seal the launch plan", errno);
    return file;
}

tl::expected<launcher::CapabilityMask, std::string> held_capabilities()
{
    launcher::CapabilitySets sets;
    if (const int error = launcher::read_capabilities(sets); error != 0)
        return failure("read the capability sets", error);
    return sets.permitted;
}

tl::expected<std::string, std::string> this_program()
{
    std::error_code error;
    const auto self = fs::read_symlink("/proc/self/exe", error);
    if (error)
        return tl::unexpected("could not find this program: /proc/self/exe: " + error.message());
    return self.string();
}

tl::expected<std::string, std::string> find_launcher()
{
    const auto self = this_program();
    if (!self)
        return tl::unexpected(self.error());
    auto launcher = (fs::path{*self}.parent_path().parent_path() / "libexec/everest/launcher").string();
    if (::access(launcher.c_str(), X_OK) != 0)
        return failure("find the launcher: " + launcher, errno, "; `cmake --install` puts it there");
    return launcher;
}

tl::expected<FileDescriptor, std::string> split(const launcher::LaunchPlan& plan, const std::string& launcher)
{
    const auto sealed = seal(plan);
    if (!sealed)
        return tl::unexpected(sealed.error());
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return failure("create a socket pair", errno);
    FileDescriptor of_launcher{ends[0]};
    FileDescriptor of_manager{ends[1]};
    const pid_t manager = ::fork();
    if (manager < 0)
        return failure("fork", errno);
    if (manager > 0)
        return become_launcher(launcher, *sealed, of_launcher, manager);
    if (const auto dropped = become_manager(plan.manager); !dropped)
        return tl::unexpected(dropped.error());
    return of_manager;
}

} // namespace belay::manager
