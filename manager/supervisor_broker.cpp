// SPDX-License-Identifier: Apache-2.0
//
// What the supervisor hears from the broker.
#include "manager/supervisor.hpp"

#include <utility>

namespace belay::manager {

void Supervisor::on_connected()
{
    record("connected", {});
    apply(nothing_to_start() ? Event::connected_idle : Event::connected);
}

void Supervisor::on_broker_unreachable(const std::string& why)
{
    log_entry(*log_, spdlog::level::err, about(JournalMessage::broker_lost), why);
    failure_ = why;
    record_step("exit", why);
    fail();
}

void Supervisor::on_broker_lost(const std::string& why)
{
    log_entry(*log_, spdlog::level::err, about(JournalMessage::broker_lost), why);
    answer_deadline_.disarm();
    for (const auto& end : std::exchange(ended_, {}))
        log_entry(*log_, spdlog::level::info,
                  about_end(JournalMessage::module_ended, plan_.modules[end.module].id, end),
                  fmt::format("{} (pid {}): ended, too: {}", plan_.modules[end.module].id, end.pid, end.how));
    if (lifecycle_.state() == State::exiting)
        return finish();
    record_step(broker_recovery_.enabled() ? "restart-all" : "exit", why);
    if (broker_recovery_.enabled() && lifecycle_.state() != State::initializing && !lifecycle_.ending())
        return lose_broker();
    if (lifecycle_.stopping())
        return apply(Event::fail);
    failure_ = why;
    fail();
}

/// The modules are stopped, and started again when the broker is back.
void Supervisor::lose_broker()
{
    others_must_come_again_ = true;
    if (lifecycle_.state() == State::idle || lifecycle_.state() == State::waiting_for_broker)
        return apply(Event::lose_broker);
    const auto decision = broker_recovery_.next();
    if (!decision) {
        exhausted_ = true;
        failure_ = "The MQTT broker was lost too often";
        return fail();
    }
    recovery_ = *decision;
    const bool at_work = lifecycle_.state() == State::starting || lifecycle_.state() == State::running;
    apply(at_work ? Event::recover : Event::lose_broker);
}

/// A broker that does not answer while modules end is taken for the reason, if it will be waited for: modules that are
/// started again meanwhile would fail one by one.
void Supervisor::judge_silence()
{
    if (!broker_recovery_.enabled())
        return judge_ended();
    conversation_.disconnect();
    on_broker_lost("the MQTT broker does not answer, and modules end");
}

void Supervisor::on_metadata_published()
{
    record("published", {});
}

void Supervisor::on_broker_alive()
{
    heartbeat_.on_broker_alive();
    judge_ended();
}

void Supervisor::record(std::string_view event, const std::string& module)
{
    timeline_.record(event, module, processes_.pid_of(module), monotonic_ns());
}

void Supervisor::on_asked(const std::string& module)
{
    record("asked", module);
}

void Supervisor::on_answered(const std::string& module)
{
    record("answered", module);
}

void Supervisor::on_module_ready(const std::string& module)
{
    record("ready", module);
    log_entry(*log_, spdlog::level::debug, about(JournalMessage::module_ready, module, processes_.pid_of(module)),
              module + ": ready");
    if (!processes_.note_ready(module))
        return; // it is being ended, or has ended
    for (std::uint32_t number = 0; number < plan_.modules.size(); ++number)
        if (plan_.modules[number].id == module)
            module_watchdogs_.begin(number);
    roll_call_.mark(module);
}

void Supervisor::on_flushed()
{
    finish();
}

} // namespace belay::manager
