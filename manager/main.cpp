// SPDX-License-Identifier: Apache-2.0
//
// bin/manager: reads the configuration as whoever starts it, decides the launch plan, then becomes two processes: the
// launcher, which keeps pid and privileges and knows nothing but the plan, and the manager, which has none.

#include "config/configuration.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/feeding.hpp"
#include "launcher/protocol.hpp"
#include "launcher/service_manager.hpp"
#include "manager/boot_source.hpp"
#include "manager/check.hpp"
#include "manager/handover.hpp"
#include "manager/instance.hpp"
#include "manager/judgement.hpp"
#include "manager/last_reset.hpp"
#include "manager/lifecycle.hpp"
#include "manager/manager.hpp"
#include "manager/notify_sockets.hpp"
#include "manager/options.hpp"
#include "manager/own_domain.hpp"
#include "manager/standard_output.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace belay;
using namespace belay::manager;

template <typename Value>
using Result = tl::expected<Value, std::string>;

/// To EVerest's harness every failure is 1. To systemd, a configuration that must be changed first is 78, for which the
/// unit is not started again (RestartPreventExitStatus=), and `systemctl status` shows why.
int fail(const Options& options, const Refusal& refusal)
{
    // A reload is refused for what is new in the configuration.
    complain(refusal.why, refusal.until_changed || options.judge ? JournalMessage::configuration_error
                                                                 : JournalMessage::start_refused);
    const char* socket = std::getenv("NOTIFY_SOCKET");
    if (socket == nullptr || options.judge || options.check_start) // to whom nobody listens
        return 1;
    launcher::ServiceManager{socket}.status(refusal.why +
                                            (refusal.first_error.empty() ? "" : "; " + refusal.first_error));
    return refusal.until_changed ? launcher::exit_configuration : 1;
}

/// Nothing but a file is waited for or emptied.
Result<FileDescriptor> open_timeline(const std::string& path)
{
    if (path.empty())
        return FileDescriptor{};
    constexpr mode_t mode = 0644;
    FileDescriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode)};
    struct stat status
    {};
    if (!file || ::fstat(file.get(), &status) != 0)
        return tl::unexpected("--timeline " + path + ": " + errno_text(errno));
    if (!S_ISREG(status.st_mode))
        return tl::unexpected("--timeline " + path + ": is not a regular file");
    if (::ftruncate(file.get(), 0) != 0)
        return tl::unexpected("--timeline " + path + ": " + errno_text(errno));
    return file;
}

/// By belay.yaml, or by systemd.
bool is_watched(const launcher::LaunchPlan& plan)
{
    return plan.watchdog.wanted ||
           launcher::systemd_watchdog_ms(std::getenv("WATCHDOG_USEC"), std::getenv("WATCHDOG_PID"), ::getpid()) != 0;
}

/// A warning is enough where it cannot be told: the charger is worth more than the protection against a mistake.
Result<FileDescriptor> claim(const config::Broker& broker)
{
    auto claimed = claim_instance(broker);
    if (!claimed)
        return tl::unexpected("nothing was started: " + claimed.error());
    if (!claimed->unproven.empty())
        warn("a second manager for the same broker and prefix would not be noticed: " + claimed->unproven +
             (::geteuid() == 0 ? "; a unit that starts this one needs RuntimeDirectory=everest, and nothing that makes "
                                 "that read-only"
                               : ""));
    return std::move(claimed->file);
}

tl::expected<int, Refusal> start(const config::Configuration& configuration, const Options& options, StatusFifo fifo)
{
    const auto starter = this_starter(options);
    if (!starter)
        return tl::unexpected(starter.error());
    auto judged = judge(configuration, options, *starter);
    if (!judged)
        return tl::unexpected(judged.error());
    print(judged->found);
    if (judged->plan && !options.dump.empty())
        if (const auto dumped = dump(configuration, options.dump); !dumped)
            return tl::unexpected(dumped.error());
    if (judged->refusal)
        return tl::unexpected(*judged->refusal);
    if (options.judge)
        return 0;
    auto plan = std::move(judged->plan);
    auto instance = claim(configuration.settings.broker);
    if (!instance)
        return tl::unexpected(instance.error());
    auto timeline = open_timeline(options.timeline);
    if (!timeline)
        return tl::unexpected(timeline.error());
    confine_signals(*plan, options);
    auto sockets = make_notify_sockets(configuration, options.load.environment, *plan, static_cast<bool>(*instance));
    if (!sockets)
        return tl::unexpected(sockets.error());
    auto record = is_watched(*plan) ? take_up_record(configuration, options.load.environment, *plan) : TakenUp{};
    if (!record.trouble.empty())
        warn(record.trouble + "; the steps that lead to a reset will not be kept");
    auto control = split(*plan, judged->launcher);
    if (!control)
        return tl::unexpected(control.error());
    instance->reset(); // it is the launcher's
    return run(
        configuration, *plan, options,
        {std::move(*control), std::move(fifo), std::move(*timeline), std::move(*sockets), std::move(record.news)});
}

/// From the first status line on, a signal is answered by the last ones, however long the configuration takes to load.
Result<StatusFifo> begin(const Options& options)
{
    std::signal(SIGPIPE, SIG_IGN);
    if (options.judge || options.check_start)
        return StatusFifo{};
    auto fifo = StatusFifo::open(options.status_fifo, options.reloaded);
    if (const auto held = fifo && !options.starts_nothing() ? hold_signals() : Result<void>{}; !held)
        return tl::unexpected(held.error());
    if (const auto written = fifo ? fifo->write(status_line(Step::manager_initializing)) : tl::expected<void, int>{};
        !written)
        std::fprintf(stderr, "manager: --status-fifo is not written any more: %s\n", errno_text(written.error()));
    return fifo;
}

} // namespace

int main(int argc, char** argv)
{
    if (const auto settled = settle_descriptors(); !settled)
        return complain(settled.error());
    auto parsed = parse_options(argc, argv);
    if (!parsed)
        return fail({}, {parsed.error(), true});
    auto& options = *parsed;
    choose_source(options);
    auto fifo = begin(options);
    if (!fifo)
        return complain(fifo.error());
    if (options.last_reset) {
        const int code = print_last_reset(options.load);
        const auto written = flush_output();
        return written ? code : complain(written.error());
    }
    if (!options.dump_manifests.empty())
        return dump_manifests(options);
    config::Diagnostics diagnostics;
    const auto configuration = config::load(options.load, diagnostics);
    if (configuration && options.check_start)
        return check_start(*configuration, options, std::move(diagnostics));
    if (configuration && options.check)
        std::_Exit(
            check(*configuration, options, std::move(diagnostics))); // to take it apart would be a tenth of the time
    print(diagnostics);
    if (!configuration)
        return fail(options, {"the configuration is invalid: " + summary(diagnostics), configuration.error().by_root,
                              first_error(diagnostics)});
    const auto code = start(*configuration, options, std::move(*fifo));
    return code ? *code : fail(options, code.error());
}
