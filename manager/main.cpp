// SPDX-License-Identifier: Apache-2.0
//
// bin/manager: reads the configuration as whoever starts it, decides the launch plan, then becomes two processes: the
// launcher, which keeps pid and privileges and knows nothing but the plan, and the manager, which has none.

#include "config/capabilities.hpp"
#include "config/configuration.hpp"
#include "launcher/capability_sets.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/feeding.hpp"
#include "launcher/journal.hpp"
#include "launcher/landlock.hpp"
#include "launcher/own_privileges.hpp"
#include "launcher/protocol.hpp"
#include "launcher/service_manager.hpp"
#include "launcher/signal_domain.hpp"
#include "manager/boot_source.hpp"
#include "manager/check.hpp"
#include "manager/handover.hpp"
#include "manager/instance.hpp"
#include "manager/last_reset.hpp"
#include "manager/lifecycle.hpp"
#include "manager/manager.hpp"
#include "manager/notify_sockets.hpp"
#include "manager/options.hpp"
#include "manager/own_unit.hpp"
#include "manager/trust_check.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace belay;
using namespace belay::manager;

/// Why there is no charger.
struct Refusal
{
    std::string why;
    bool until_changed = false; ///< trying again is of no use: somebody must change a file first

    Refusal(std::string sentence) : why(std::move(sentence)) {} // NOLINT(google-explicit-constructor)
    Refusal(std::string sentence, bool permanent) : why(std::move(sentence)), until_changed(permanent) {}
};

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
    if (socket == nullptr || options.judge) // to whom nobody listens
        return 1;
    launcher::ServiceManager{socket}.status(refusal.why);
    return refusal.until_changed ? launcher::exit_configuration : 1;
}

/// While a reload is judged, the modules run.
std::string nothing_done(const Options& options)
{
    return options.judge ? "nothing was changed: " : "nothing was started: ";
}

Result<launcher::LaunchPlan> make_plan(const config::Configuration& configuration, const Options& options)
{
    const auto held = held_capabilities();
    if (!held)
        return tl::unexpected(held.error());
    const auto owner = trusted_owner(options.trust_files_of);
    if (!owner)
        return tl::unexpected(owner.error());
    config::Diagnostics diagnostics;
    auto plan = config::make_plan(configuration,
                                  {.root = ::geteuid() == 0,
                                   .held = *held,
                                   .landlock_abi = launcher::landlock_abi(),
                                   .delegation = launcher::find_delegation(),
                                   .prefix_output = ::isatty(STDERR_FILENO) == 1,
                                   .journal_output = launcher::is_journal(),
                                   .unit = own_unit(),
                                   .reloaded = options.reloaded,
                                   .checking = false,
                                   .trusted_owner = *owner,
                                   .environment = options.load.environment},
                                  diagnostics);
    print(diagnostics);
    if (!plan)
        return tl::unexpected(nothing_done(options) + summary(diagnostics));
    return std::move(*plan);
}

Result<void> check_trust(const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                         const Options& options, const std::string& launcher)
{
    if (!plan.trust_rule)
        return {};
    const auto untrusted = untrusted_files(configuration, plan, launcher);
    config::Diagnostics diagnostics;
    for (const auto& sentence : untrusted)
        diagnostics.error({}, sentence);
    print(diagnostics);
    if (untrusted.empty())
        return {};
    return tl::unexpected(nothing_done(options) +
                          "with run_as_user, only files that nobody but root can write decide who gets which "
                          "privileges (a developer may give --trust-files-of USER)");
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

/// Proved while this is root: who it cannot signal now, neither half ever can. Domains nest: a reload stays in its own.
bool confine_signals(const launcher::LaunchPlan& plan, bool reloaded)
{
    if (!launcher::wants_signal_domain(plan))
        return false;
    if (reloaded && launcher::reaches_nobody_else())
        return true;
    return launcher::enter_signal_domain() && launcher::reaches_nobody_else();
}

/// no_new_privs is never taken back: neither that of a service nor that of a launcher before this one.
Result<void> check_new_privileges(const launcher::LaunchPlan& plan)
{
    for (const auto& module : plan.modules)
        if (!module.no_new_privileges && ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
            return tl::unexpected("module `" + module.id +
                                  "`: `no_new_privileges: false` is not possible in a process that has no_new_privs; "
                                  "remove NoNewPrivileges= from the unit, or restart instead of reloading");
    return {};
}

/// A launcher has given up what the configuration before this one did not need.
Result<void> check_kept_capabilities(const launcher::LaunchPlan& plan)
{
    const auto held = held_capabilities();
    if (!held)
        return tl::unexpected(held.error());
    const auto lacking = launcher::lacking_capabilities(plan, *held);
    std::string names;
    for (int number = 0; lacking >> static_cast<unsigned>(number) != 0; ++number)
        if ((lacking & launcher::capability(number)) != 0)
            names += (names.empty() ? "" : ", ") + config::capability_name(number);
    if (names.empty())
        return {};
    return tl::unexpected(
        "the launcher has given up " + names +
        ", which this configuration takes and the one before it did not; restart instead of reloading");
}

/// What a reload executes again.
Result<launcher::Invocation> invocation_of(const Options& options)
{
    auto program = this_program();
    if (!program)
        return tl::unexpected(program.error());
    launcher::Invocation result{std::move(*program), options.arguments, {}};
    for (const auto& [name, value] : options.load.environment)
        result.environment.push_back(name + '=' + value);
    return result;
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
    auto plan = make_plan(configuration, options);
    if (!plan)
        return tl::unexpected(Refusal{plan.error(), true});
    if (options.into_idle)
        plan->modules.clear(); // what is never started takes no privileges
    if (!options.dump.empty())
        if (const auto dumped = dump(configuration, options.dump); !dumped)
            return tl::unexpected(dumped.error());
    auto invocation = invocation_of(options);
    if (!invocation)
        return tl::unexpected(invocation.error());
    plan->invocation = std::move(*invocation);
    plan->reloaded = options.reloaded;
    const auto launcher = find_launcher();
    if (!launcher)
        return tl::unexpected(launcher.error());
    if (const auto trusted = check_trust(configuration, *plan, options, *launcher); !trusted)
        return tl::unexpected(Refusal{trusted.error(), true});
    if (const auto possible = check_new_privileges(*plan); !possible)
        return tl::unexpected(possible.error());
    if (const auto kept = options.judge ? check_kept_capabilities(*plan) : Result<void>{}; !kept)
        return tl::unexpected(kept.error());
    if (options.judge)
        return 0;
    auto instance = claim(configuration.settings.broker);
    if (!instance)
        return tl::unexpected(instance.error());
    auto timeline = open_timeline(options.timeline);
    if (!timeline)
        return tl::unexpected(timeline.error());
    plan->signal_domain = confine_signals(*plan, options.reloaded);
    auto sockets = make_notify_sockets(configuration, options.load.environment, *plan);
    if (!sockets)
        return tl::unexpected(sockets.error());
    auto record = is_watched(*plan) ? take_up_record(configuration, options.load.environment, *plan) : TakenUp{};
    if (!record.trouble.empty())
        warn(record.trouble + "; the steps that lead to a reset will not be kept");
    auto control = split(*plan, *launcher);
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
    if (options.judge)
        return StatusFifo{};
    auto fifo = StatusFifo::open(options.status_fifo, options.reloaded);
    const bool starting = !options.check && !options.last_reset && options.dump_manifests.empty();
    if (const auto held = fifo && starting ? hold_signals() : Result<void>{}; !held)
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
    auto options = parse_options(argc, argv);
    choose_source(options);
    auto fifo = begin(options);
    if (!fifo)
        return complain(fifo.error());
    if (options.last_reset)
        return print_last_reset(options.load);
    if (!options.dump_manifests.empty())
        return dump_manifests(options);
    config::Diagnostics diagnostics;
    const auto configuration = config::load(options.load, diagnostics);
    if (configuration && options.check)
        std::_Exit(
            check(*configuration, options, std::move(diagnostics))); // to take it apart would be a tenth of the time
    print(diagnostics);
    if (!configuration)
        return fail(options, {"the configuration is invalid: " + summary(diagnostics), configuration.error().by_root});
    const auto code = start(*configuration, options, std::move(*fifo));
    return code ? *code : fail(options, code.error());
}
