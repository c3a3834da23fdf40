// SPDX-License-Identifier: Apache-2.0
//
// The supervisor and what watches over it: heartbeats, and the steps against what hangs. From the least to the last:
// a module is aborted, for its core; killed; started again, alone or with all others, as its policy says; all are
// stopped, and the service manager starts the service again; and where SIGKILL has no effect, or this process hangs,
// the launcher feeds the watchdog no more.
#include "manager/runtime_watchdog.hpp"
#include "manager/supervisor.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <sstream>

#include <linux/watchdog.h>

namespace belay::manager {

namespace {

constexpr double ms_per_s = 1000;

} // namespace

void Supervisor::on_watchdog(const launcher::WatchdogState& state)
{
    using enum JournalMessage;
    using namespace spdlog::level;
    const auto say = [this](level_enum level, JournalMessage message, const std::string& text) {
        log_entry(*log_, level, about(message), text);
    };
    const auto& device = plan_.watchdog.device;
    std::istringstream lines{last_reset_};
    for (std::string line; std::getline(lines, line);)
        say(warn, last_reset, line);
    if ((static_cast<unsigned>(state.boot_status) & WDIOF_CARDRESET) != 0 && last_reset_.empty())
        say(info, last_reset, "this boot of the machine began with a reset by the watchdog");
    if (state.timeout_ms != 0)
        say(info, watchdog_ready,
            fmt::format("the watchdog {} ({}) resets the machine after {:g} s without a heartbeat", device,
                        state.identity.data(), state.timeout_ms / ms_per_s));
    if (state.timeout_ms != 0 && state.nowayout != 0)
        say(warn, watchdog_trouble,
            "the watchdog cannot be stopped (nowayout): also after a stop in order the machine is reset");
    if (state.timeout_ms != 0 && state.magic_close == 0)
        say(warn, watchdog_trouble,
            "the driver of " + device + " stops it when the launcher ends, however that ends; only a hang is noticed");
    if (state.error == EBUSY)
        say(warn, watchdog_trouble, device + " is busy: " + describe_runtime_watchdog());
    if (state.systemd_ms != 0)
        say(info, watchdog_ready,
            fmt::format("systemd ends this service after {:g} s without a heartbeat (WatchdogSec=)",
                        state.systemd_ms / ms_per_s));
    say(info, watchdog_ready,
        fmt::format("heartbeats every {:g} s; without one for {:g} s all modules are stopped",
                    state.interval_ms / ms_per_s, state.deadline_ms / ms_per_s));
    heartbeat_.begin(state);
}

/// Only with a watchdog is there somebody who will ask.
void Supervisor::record_step(std::string_view step, const std::string& why)
{
    if (heartbeat_.begun())
        processes_.launcher().record(std::string{step} + ' ' + why);
}

void Supervisor::on_module_hangs(std::uint32_t module, const std::string& why)
{
    if (lifecycle_.stopping())
        return; // it has its time, and then it is killed
    record_step("abort-module", processes_.name_of(module) + ": " + why);
    processes_.abort(module, why);
}

void Supervisor::on_unkillable(std::uint32_t module)
{
    record_step("exit", processes_.name_of(module) + ": survives SIGKILL");
    if (!lifecycle_.stopping())
        fail();
}

bool Supervisor::ask_broker()
{
    if (!conversation_.connected())
        return false;
    conversation_.ask_whether_alive();
    return true;
}

void Supervisor::on_broker_hangs(std::chrono::nanoseconds silence)
{
    if (!conversation_.connected())
        return; // that is known
    conversation_.disconnect();
    on_broker_lost(
        fmt::format("the MQTT broker has not answered for {:.1f} s", std::chrono::duration<double>{silence}.count()));
}

/// All other states end by a deadline, or wait for the broker for as long as the configuration allows.
std::string Supervisor::objection()
{
    if (lifecycle_.state() != State::starting && lifecycle_.state() != State::running)
        return {};
    for (std::uint32_t module = 0; module < plan_.modules.size(); ++module) {
        const auto has_ended = [&](const End& end) { return end.module == module; };
        if (!processes_.has(module) && !restarter_.is_pending(module) && !done_.contains(module) &&
            std::ranges::none_of(ended_, has_ended))
            return plan_.modules[module].id + " does not run, and nobody will start it";
    }
    return {};
}

} // namespace belay::manager
