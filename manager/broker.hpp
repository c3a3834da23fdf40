// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "manager/event_loop.hpp"
#include "manager/log.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

struct mosquitto;

namespace belay::manager {

class BrokerListener
{
public:
    virtual void on_broker_connected() = 0;
    /// It did not come in time, or will not let us in.
    virtual void on_broker_unreachable(const std::string& why) = 0;
    /// The connection is gone; connect() may make another.
    virtual void on_broker_lost(const std::string& why) = 0;
    virtual void on_message(std::string_view topic, std::string_view payload, bool retained) = 0;
    virtual void on_subscribed(int message) = 0;
    virtual void on_unsubscribed(int message) = 0;
    /// QoS 2: PUBCOMP.
    virtual void on_published(int message) = 0;

protected:
    ~BrokerListener() = default;
};

/// MQTT 5 by libmosquitto (libmosquitto(3)), driven by the event loop. A broker that is not there yet is waited for;
/// what libmosquitto calls back is only queued, and handed to the listener when libmosquitto has returned.
class Broker
{
public:
    Broker(EventLoop& loop, const config::Broker& settings, spdlog::logger& log, BrokerListener& listener);
    Broker(const Broker&) = delete;
    Broker& operator=(const Broker&) = delete;
    ~Broker();

    /// Begins to connect; the listener hears of the outcome.
    void connect();

    /// The same after a connection was lost or given up: waits without a limit unless the settings have one, also for
    /// the right to use a socket, which a broker that starts may not have given yet.
    void connect_again();

    /// Says goodbye, if there is a connection, and forgets about it. The listener hears nothing any more.
    void disconnect();

    [[nodiscard]] bool connected() const { return connected_; }

    // Each returns the message's number for the matching on_…; nothing if there is no connection.
    std::optional<int> publish(const std::string& topic, std::string_view payload, int qos, bool retain);
    std::optional<int> subscribe(const std::vector<std::string>& filters, int qos);
    std::optional<int> unsubscribe(const std::vector<std::string>& filters);

private:
    struct Connected
    {
        int reason;
    };
    struct Received
    {
        std::string topic;
        std::string payload;
        bool retained;
    };
    struct Subscribed
    {
        int message;
    };
    struct Unsubscribed
    {
        int message;
    };
    struct Published
    {
        int message;
    };
    using Event = std::variant<Connected, Received, Subscribed, Unsubscribed, Published>;
    struct Destroy
    {
        void operator()(mosquitto* client) const;
    };
    using Client = std::unique_ptr<mosquitto, Destroy>;

    [[nodiscard]] Client make_client();
    void begin(std::optional<std::chrono::milliseconds> patience);
    void attempt();
    [[nodiscard]] std::string next_address();
    void attempt_failed(const std::string& why);
    void give_up(const std::string& why);
    void close();
    void on_io(std::uint32_t events);
    void on_io_error(int result, int error);
    void deliver();
    void housekeeping();

    EventLoop& loop_;
    config::Broker settings_;
    spdlog::logger& log_;
    BrokerListener& listener_;
    Timer retry_timer_;
    Timer attempt_timer_; ///< limits one attempt
    Timer housekeeping_timer_;
    Client client_;
    std::optional<IoWatch> watch_;
    std::vector<Event> events_;
    bool connected_ = false;
    bool closed_ = false; ///< until the next connect_again()
    bool again_ = false;

    std::optional<std::chrono::milliseconds> patience_; ///< none: no limit
    std::chrono::steady_clock::time_point deadline_;
    std::chrono::steady_clock::time_point next_complaint_;
    std::chrono::steady_clock::time_point connected_since_;
    std::chrono::seconds complaint_interval_{};
    std::chrono::milliseconds retry_delay_; ///< until the next attempt
    std::vector<std::string> addresses_;    ///< still to be tried in this round
};

} // namespace belay::manager
