// SPDX-License-Identifier: Apache-2.0
//
// The root half of Belay, started by bin/manager and by nobody else:
//     launcher --plan-fd N --control-fd N --manager-pid PID
// It guarantees: only programs of the plan are started, each as its plan says or not at all; it reads no file but the
// plan, speaks with nobody but the manager and systemd, and holds no capability that the plan does not need.

#include "launcher/capability_sets.hpp"
#include "launcher/complaint.hpp"
#include "launcher/descriptor_limit.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/feeding.hpp"
#include "launcher/launcher.hpp"
#include "launcher/notify_directory.hpp"
#include "launcher/own_privileges.hpp"
#include "launcher/preparation.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace {

using namespace belay;
using namespace belay::launcher;

template <typename Value>
using Result = tl::expected<Value, std::string>;

tl::unexpected<std::string> refusal(std::string sentence)
{
    return tl::unexpected<std::string>{std::move(sentence)};
}

tl::unexpected<std::string> failure(const std::string& what, int error)
{
    return refusal("could not " + what + ": " + errno_text(error));
}

struct Arguments
{
    int plan = -1;
    int control = -1;
    pid_t manager = 0;
};

Result<Arguments> parse(std::span<char*> arguments)
{
    Arguments result;
    const std::map<std::string_view, int*> options{
        {"--plan-fd", &result.plan}, {"--control-fd", &result.control}, {"--manager-pid", &result.manager}};
    for (std::size_t i = 1; i + 1 < arguments.size(); i += 2) {
        const auto option = options.find(arguments[i]);
        const std::string_view text = arguments[i + 1];
        if (option == options.end() ||
            std::from_chars(text.data(), text.data() + text.size(), *option->second).ptr != text.data() + text.size())
            break;
    }
    if (result.plan <= STDERR_FILENO || result.control <= STDERR_FILENO || result.manager <= 1)
        return refusal("it is started by bin/manager only; start that");
    return result;
}

/// Whatever was inherited closes at exec, and 0, 1 and 2 are open so that nothing else becomes standard output.
Result<FileDescriptor> settle_descriptors()
{
    if (::syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
        return failure("mark the inherited descriptors close-on-exec (Linux 5.11 is needed)", errno);
    int descriptor = -1;
    do {
        descriptor = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    return descriptor >= 0 ? Result<FileDescriptor>{FileDescriptor{descriptor}} : failure("open /dev/null", errno);
}

/// The plan must be unable to change any more: a memfd with all its seals.
Result<LaunchPlan> read_plan(const FileDescriptor& file)
{
    constexpr int all_seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    struct stat status
    {};
    if ((::fcntl(file.get(), F_GET_SEALS) & all_seals) != all_seals || ::fstat(file.get(), &status) != 0)
        return refusal("the launch plan is not in a sealed memfd");
    std::vector<std::byte> bytes(static_cast<std::size_t>(status.st_size));
    if (::pread(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        return failure("read the launch plan", errno);
    return decode(bytes);
}

/// For what the launcher opens; its modules get the limit that it was started with, which is returned.
Result<ResourceLimit> make_room(LaunchPlan& plan)
{
    auto former = raise_descriptor_limit();
    if (!former)
        return former;
    if (auto enough = check_descriptor_limit(*former, plan); !enough)
        return tl::unexpected(std::move(enough.error()));
    hand_on(*former, plan);
    return former;
}

Result<FileDescriptor> block_signals()
{
    sigset_t set;
    ::sigemptyset(&set);
    for (const int number : {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGPIPE})
        ::sigaddset(&set, number);
    if (::sigprocmask(SIG_SETMASK, &set, nullptr) != 0)
        return failure("block signals", errno);
    ::sigdelset(&set, SIGPIPE);
    FileDescriptor descriptor{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
    return descriptor ? Result<FileDescriptor>{std::move(descriptor)} : failure("create a signal descriptor", errno);
}

Result<int> launch(const Arguments& arguments)
{
    Equipment equipment{.control = FileDescriptor{arguments.control},
                        .signals = {},
                        .manager = arguments.manager,
                        .starts = {},
                        .service_manager = ServiceManager{::getenv("NOTIFY_SOCKET")},
                        .control_groups = {},
                        .feeding = {},
                        .record = {}};
    const FileDescriptor plan_file{arguments.plan};
    const auto null_device = settle_descriptors();
    if (!null_device)
        return tl::unexpected(null_device.error());
    prepare_complaints();
    auto plan = read_plan(plan_file);
    if (!plan)
        return tl::unexpected(plan.error());
    NotifyDirectory notify_directory{*plan};
    const auto former_limit = make_room(*plan);
    if (!former_limit)
        return tl::unexpected(former_limit.error());
    auto signals = block_signals();
    if (!signals)
        return tl::unexpected(signals.error());
    equipment.signals = std::move(*signals);
    auto groups = ControlGroups::create(*plan);
    if (!groups)
        return tl::unexpected(groups.error());
    equipment.control_groups = std::move(*groups);
    CapabilitySets sets;
    if (const int error = read_capabilities(sets); error != 0)
        return failure("read its capabilities", error);
    Preparation preparation{sets.permitted, null_device->get(), arguments.manager};
    for (const auto& module : plan->modules)
        if (const auto prepared = preparation.prepare(*plan, module, equipment.starts); !prepared)
            return tl::unexpected("module `" + module.id + "`: " + prepared.error());
    // Last, so that nothing but the drop below can fail once it counts.
    auto feeding = Feeding::begin(plan->watchdog,
                                  systemd_watchdog_ms(::getenv("WATCHDOG_USEC"), ::getenv("WATCHDOG_PID"), ::getpid()));
    if (!feeding)
        return tl::unexpected(feeding.error());
    equipment.feeding = std::move(*feeding);
    if (equipment.feeding.expects_heartbeats())
        equipment.record = StepRecord{plan->watchdog};
    Launcher launcher{*plan, std::move(equipment)};
    if (const auto trimmed = trim_own_privileges(*plan); !trimmed)
        return tl::unexpected(trimmed.error());
    const int code = launcher.run();
    notify_directory.remove();
    const rlimit former{former_limit->soft, former_limit->hard};
    ::setrlimit(RLIMIT_NOFILE, &former); // for a successor; lowering cannot fail
    const int error = launcher.reload();
    if (error == 0)
        return code;
    complain("could not execute %s again: %s", plan->invocation.program.c_str(), errno_text(error));
    return 1;
}

} // namespace

int main(int argc, char** argv)
{
    const auto arguments = parse({argv, static_cast<std::size_t>(argc)});
    const auto code = arguments ? launch(*arguments) : Result<int>{tl::unexpected(arguments.error())};
    if (code)
        return *code;
    complain("%s", code.error().c_str());
    if (arguments) { // its end of the socket is closed by now; it is not left behind
        ::kill(arguments->manager, SIGKILL);
        ::waitpid(arguments->manager, nullptr, 0);
    }
    return 1;
}
