// SPDX-License-Identifier: Apache-2.0
#include "manager/manager.hpp"

#include "manager/parameter_store.hpp"
#include "manager/supervisor.hpp"

#include <csignal>
#include <exception>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace belay::manager {

namespace {

/// The launcher says when to stop; a reader that leaves must not end us.
void ignore_signals()
{
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
        std::signal(signal, SIG_IGN);
}

int supervise(const config::Configuration& configuration, const launcher::LaunchPlan& plan, const Options& options,
              Inheritance inheritance, const std::shared_ptr<spdlog::logger>& log, LogStyle style)
{
    EventLoop loop;
    const auto store = make_store(configuration, options);
    Supervisor supervisor(loop, configuration, plan, options, std::move(inheritance), *store, log, style);
    supervisor.start();
    const auto watch = watch_journal(*log, loop);
    return loop.run();
}

} // namespace

int run(const config::Configuration& configuration, const launcher::LaunchPlan& plan, const Options& options,
        Inheritance inheritance)
{
    ignore_signals();
    const auto style = detect_log_style();
    const auto log = make_log(style);
    try {
        return supervise(configuration, plan, options, std::move(inheritance), log, style);
    } catch (const std::exception& failure) {
        // The launcher sees the end of the control socket, and stops the modules.
        log->critical("the manager failed: {}", failure.what());
        return 1;
    }
}

} // namespace belay::manager
