// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mosquitto.h>

#include <chrono>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>

/// A blocking MQTT client for the programs of the integration tests. Whatever fails throws std::runtime_error.
namespace standin {

struct Message
{
    std::string topic, payload;
    int qos = 0;
    bool retain = false;
};

class Mqtt
{
public:
    /// `port` 0: `host` is the path of a Unix socket.
    Mqtt(const std::string& host, int port, int version = MQTT_PROTOCOL_V5);

    void subscribe(const std::string& topic, int qos, int options = 0);
    void unsubscribe(const std::string& topic);
    void publish(const std::string& topic, const std::string& payload, int qos, bool retain = false);
    /// Until the broker has acknowledged all that was published with QoS 1 or 2, and every subscription.
    void flush();
    /// One round of the network; whatever came is in `inbox`.
    void loop(std::chrono::milliseconds timeout);
    void disconnect();
    [[nodiscard]] int socket() const { return mosquitto_socket(client_.get()); }
    [[nodiscard]] bool wants_write() const { return mosquitto_want_write(client_.get()); }

    std::deque<Message> inbox;

private:
    void connect(const std::string& host, int port);
    void check(int result, const char* what) const;

    std::unique_ptr<mosquitto, decltype(&mosquitto_destroy)> client_{nullptr, mosquitto_destroy};
    int pending_ = 0; ///< acknowledgements that are due
};

} // namespace standin
