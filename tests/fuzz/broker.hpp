// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/descriptor.hpp"
#include "manager/event_loop.hpp"

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

/// The broker's side of one connection at a time, MQTT 5, on a Unix socket, in the event loop of its client. It speaks
/// as Mosquitto does and keeps to the protocol: what is hostile are the other clients, whose messages it forwards.
class BrokerPlayer
{
public:
    struct Message
    {
        std::string topic;
        std::string payload;
        unsigned qos = 0;
        bool retained = false;
    };
    struct Listener
    {
        std::function<void()> subscribed;            ///< the client's first subscription is acknowledged
        std::function<void()> settled;               ///< everything forwarded was acknowledged
        std::function<void(const Message&)> message; ///< from the client
        std::function<void()> gone;
    };

    /// `listening`: a socket that the client will connect to.
    BrokerPlayer(belay::manager::EventLoop& loop, int listening, Listener listener);

    /// Forwards to the client; false if a broker would have refused such a topic.
    bool forward(const Message& message);

    /// Sends a message that changes nothing and must be acknowledged: settled() comes when the client has come so far.
    void ask_to_settle();

    /// Whether the client's messages are acknowledged at once; if not, when it is set again.
    void acknowledge(bool at_once);

private:
    void accept();
    void receive();
    void take_packet(unsigned char type, std::string_view body);
    void take_publish(unsigned char flags, std::string_view body);
    void take_subscription(unsigned char answer, std::string_view body);
    void send(unsigned char type, const std::string& body);
    void settle();

    belay::manager::EventLoop& loop_;
    int listening_;
    Listener listener_;
    belay::FileDescriptor connection_;
    std::optional<belay::manager::IoWatch> watch_;
    std::string received_;
    std::vector<std::string> held_; ///< the numbers of messages that are to be acknowledged
    std::set<std::string> unsettled_;
    unsigned next_number_ = 1;
    bool acknowledging_ = true;
    bool subscribed_ = false;
    bool settling_ = false;
};
