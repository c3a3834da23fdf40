// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/config_service.hpp"
#include "manager/event_loop.hpp"
#include "manager/log.hpp"
#include "manager/parameter_store.hpp"

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace belay::manager {

/// What the modules are doing, as far as a change is concerned.
enum class Phase
{
    changing, ///< they are started or stopped: nothing is changed
    running,
    down, ///< a change counts from their next start
};

/// Changes parameters: wire-protocol.md §4.3. A value is stored first; then, if the modules run and the parameter may
/// be written, its module is asked to take it. The answers of modules carry no number, so of each module one change at
/// a time is under way and the others wait. What arrives for several modules while the medium is busy is stored
/// together. Each change is answered exactly once.
class ParameterChanges
{
public:
    struct Ways
    {
        /// Tells whoever asked.
        std::function<void(const ConfigService::Answer&)> answer;
        /// Asks the module with this `data`; false if it cannot be asked.
        std::function<bool(const std::string& module, const nlohmann::json& data)> ask;
    };

    /// The references must outlive this.
    ParameterChanges(EventLoop& loop, const config::Configuration& configuration, ConfigService& service,
                     ParameterStore& store, spdlog::logger& log, Ways ways);

    void request(Change change);

    /// A message of `module` on its config/set_response; the error is why it makes no sense.
    tl::expected<void, std::string_view> on_response(const std::string& module, std::string_view payload);

    /// Who waits for a module when they are stopped gets an answer at once.
    void set_phase(Phase phase);

private:
    /// Of one module, the one under way first.
    struct Queue
    {
        explicit Queue(EventLoop& loop, std::function<void()> on_timeout) : timer(loop, std::move(on_timeout)) {}
        std::deque<Change> changes;
        bool waiting = false; ///< for the module
        unsigned asked = 0;
        Timer timer;
    };

    struct Verdict
    {
        std::string_view status = "Ok";
        std::string_view set_status = "Rejected";
        std::string why;
        std::string why_inside; ///< in the inner response
    };

    /// Begins the next change of each module of which none is under way. False if there is none.
    bool work_off();
    /// What to store, or why it is not.
    tl::expected<Setting, Verdict> examine(const Change& change) const;
    void store(std::span<const Setting> settings, std::span<Queue* const> queues);
    void stored(Queue& queue, const Setting& setting);
    bool ask(Queue& queue);
    void finish(Queue& queue, const Verdict& verdict);
    void on_timeout(const std::string& module);
    Queue& queue_of(const std::string& module);

    EventLoop& loop_;
    const config::Configuration& configuration_;
    ConfigService& service_;
    ParameterStore& store_;
    spdlog::logger& log_;
    Ways ways_;
    RateLimit rate_limit_;
    Phase phase_ = Phase::changing;
    std::map<std::string, std::unique_ptr<Queue>> queues_;
    std::size_t waiting_bytes_ = 0; ///< of the changes in the queues
    Timer soon_;                    ///< when what has arrived is read
};

} // namespace belay::manager
