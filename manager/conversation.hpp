// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "manager/broker.hpp"
#include "manager/config_service.hpp"
#include "manager/dialect.hpp"
#include "manager/metadata.hpp"
#include "manager/parameter_changes.hpp"
#include "manager/round_trips.hpp"
#include "manager/topics.hpp"

#include <optional>
#include <set>
#include <string>
#include <vector>

namespace belay::manager {

class ConversationListener
{
public:
    /// Nothing that a module says from now on is lost.
    virtual void on_connected() = 0;
    /// It was waited for, and is not waited for any more.
    virtual void on_broker_unreachable(const std::string& why) = 0;
    virtual void on_broker_lost(const std::string& why) = 0;
    /// The broker has acknowledged what modules read when they start.
    virtual void on_metadata_published() = 0;
    /// What ask_whether_alive() asked for.
    virtual void on_broker_alive() = 0;
    virtual void on_asked(const std::string& module) = 0;
    virtual void on_answered(const std::string& module) = 0;
    virtual void on_module_ready(const std::string& module) = 0;
    /// What flush() began is done.
    virtual void on_flushed() = 0;

protected:
    ~ConversationListener() = default;
};

/// What the manager says over MQTT, and what it understands: wire-protocol.md §3 to §7. Payloads are not trusted: what
/// makes no sense is logged, rate-limited, and dropped.
///
/// Which dialect is spoken, belay.yaml says, or else the first request of a module that exists: modules ask before they
/// read what is retained, so there is time to say it again in other words. Until then it is that of the installed
/// release. A module that asks in another dialect than the first one gets no answer: in no other way does every release
/// end it with an error of its own, and none of what the others read would be right for it.
class Conversation final : private BrokerListener
{
public:
    /// `modules` are those whose readiness counts. `configuration` must outlive this.
    Conversation(EventLoop& loop, const config::Configuration& configuration, const std::set<std::string>& modules,
                 ParameterStore& store, spdlog::logger& log, ConversationListener& listener);

    /// `publishing`: modules will be started, and read the metadata.
    void connect(bool publishing)
    {
        publishing_ = publishing;
        broker_.connect();
    }
    /// After the connection was lost, with or without a limit (Broker::connect_again()).
    void connect_again(bool publishing)
    {
        publishing_ = publishing;
        broker_.connect_again();
    }
    [[nodiscard]] bool connected() const { return broker_.connected(); }

    /// Modules of older releases cannot be asked.
    [[nodiscard]] bool can_ask_to_shut_down() const { return broker_.connected() && dialect_->shutdown_topic; }

    /// The answer is on_broker_alive() or on_broker_lost(); a broker that hangs gives none.
    void ask_whether_alive();

    /// What becomes of a change of a parameter depends on it.
    void set_phase(Phase phase) { changes_.set_phase(phase); }

    /// The module is started again: what was set meanwhile counts now.
    void renew(const std::string& module) { service_.renew(module); }

    /// What modules read when they start; nothing if it is still there.
    void publish_metadata();

    /// Clears the retained topics that are still there; once, and as soon as the broker has acknowledged them.
    void clear_metadata();
    void announce();
    void ask_to_shut_down();

    /// Clears what is still retained, and makes sure that the broker has seen everything; then on_flushed().
    void flush();
    void disconnect() { broker_.disconnect(); }

private:
    void on_broker_connected() override;
    void on_broker_unreachable(const std::string& why) override;
    void on_broker_lost(const std::string& why) override;
    void on_message(std::string_view topic, std::string_view payload, bool retained) override;
    void on_subscribed(int message) override;
    void on_unsubscribed(int message) override;
    void on_published(int message) override;

    void forget_connection();
    void send_metadata();
    void note_stale(std::string_view topic);
    void clear_stale();
    void report_flushed();
    [[nodiscard]] bool is_published(std::string_view topic) const;
    [[nodiscard]] bool understands(const Request& request, std::string_view topic);
    void learn(const Dialect& dialect, const std::string& origin);
    void speak(const Dialect& dialect);
    void handle_request(std::string_view topic, std::string_view payload);
    void handle_ready(std::string_view topic, std::string_view module, std::string_view payload);
    void reply(const ConfigService::Answer& answer);
    void tell(const ConfigService::Answer& answer);
    bool ask_to_set(const std::string& module, const nlohmann::json& data);
    void handle_set_response(std::string_view topic, std::string_view module, std::string_view payload);
    void complain(std::string_view kind, std::string_view topic, std::string_view why);

    const config::Configuration& configuration_;
    spdlog::logger& log_;
    ConversationListener& listener_;
    Topics topics_;
    const Dialect* dialect_;
    std::string dialect_known_from_; ///< empty: not yet
    std::vector<Message> metadata_;  ///< made when it is first published
    ConfigService service_;
    std::vector<std::string> subscriptions_;
    Broker broker_;
    ParameterChanges changes_;
    RoundTrips round_trips_;
    RateLimit rate_limit_;

    std::optional<int> subscribing_;
    std::optional<int> looking_for_stale_;
    std::optional<int> asking_;
    std::optional<int> flushing_;
    std::set<int> answers_under_way_; ///< without PUBCOMP
    bool flushed_ = false;            ///< but for these
    std::set<std::string, std::less<>> stale_;
    std::vector<std::string> outdated_; ///< retained topics that only the dialect before had
    std::set<int> unacknowledged_;      ///< metadata without PUBCOMP
    bool publishing_ = true;
    bool metadata_published_ = false; ///< or there is none to wait for
    bool metadata_retained_ = false;
    bool clear_wanted_ = false;
    bool flush_wanted_ = false;
    std::vector<ConfigService::Answer> waiting_; ///< answers that wait for the metadata
};

} // namespace belay::manager
