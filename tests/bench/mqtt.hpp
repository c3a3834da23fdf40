// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>

/// An MQTT 5 client on a Unix socket that costs as little as possible, so that the figures are the manager's and the
/// broker's. It does what libmosquitto does for a module: QoS 2 in both directions, a message is delivered when its
/// handshake allows (PUBREL), and no more are in flight than the broker takes. No keepalive.
/// Whatever fails throws std::runtime_error.
namespace bench {

struct Message
{
    std::string topic, payload;
    bool retain = false;
};

class Client
{
public:
    /// Connected, and accepted by the broker, when it returns.
    explicit Client(const std::string& socket_path);
    ~Client();
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void subscribe(std::string_view topic, int qos = 2);
    void unsubscribe(std::string_view topic);
    void publish(std::string_view topic, std::string_view payload, int qos = 2, bool retain = false);
    void disconnect();

    /// Waits for the next message. False: a signal came first.
    bool receive(Message& message);
    /// Reads once, without waiting if `wait` is false; messages are in `inbox` then. False: a signal came.
    bool read(bool wait = true);
    /// Sends what the calls above have left; receive() and read() do it, too.
    void flush();
    /// Nothing that was published waits for the broker.
    [[nodiscard]] bool settled() const { return in_flight_ == 0 && waiting_.empty(); }
    [[nodiscard]] int descriptor() const { return descriptor_; }

    std::deque<Message> inbox;

private:
    struct Held
    {
        std::uint16_t id;
        Message message;
    };

    std::uint16_t next_id();
    void packet(std::uint8_t header, std::string_view body);
    void acknowledge(std::uint8_t header, std::uint16_t id);
    void send_waiting();
    bool handle_next();
    void handle(std::uint8_t header, std::string_view body);
    void handle_publish(std::uint8_t header, std::string_view body);
    void handle_connack(std::string_view body);
    void release(std::uint16_t id);

    int descriptor_ = -1;
    std::uint16_t last_id_ = 0;
    std::uint16_t window_ = 0; ///< what may be in flight; 0 until the broker has accepted the connection
    std::uint16_t in_flight_ = 0;
    bool accepted_ = false;
    std::string out_, in_;
    std::deque<std::string> waiting_; ///< packets without the first byte and length, for which the window is too small
    std::deque<std::uint8_t> waiting_headers_;
    std::deque<Held> held_; ///< received with QoS 2, until PUBREL
};

} // namespace bench
