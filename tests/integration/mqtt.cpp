// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/mqtt.hpp"

#include <cerrno>
#include <thread>

namespace standin {

namespace {

constexpr int keepalive_s = 20;
constexpr std::chrono::milliseconds tick{100};

} // namespace

Mqtt::Mqtt(const std::string& host, int port, int version)
{
    mosquitto_lib_init();
    client_.reset(mosquitto_new(nullptr, true, this));
    if (!client_)
        throw std::runtime_error{"mosquitto_new"};
    mosquitto_int_option(client_.get(), MOSQ_OPT_PROTOCOL_VERSION, version);
    mosquitto_int_option(client_.get(), MOSQ_OPT_TCP_NODELAY, 1);
    // Mosquitto 2.0.11 sends more QoS 2 messages than the default of 20 allows, for which libmosquitto leaves it.
    mosquitto_int_option(client_.get(), MOSQ_OPT_RECEIVE_MAXIMUM, 65535);
    mosquitto_message_callback_set(client_.get(), [](mosquitto*, void* self, const mosquitto_message* message) {
        const auto* bytes = static_cast<const char*>(message->payload);
        static_cast<Mqtt*>(self)->inbox.push_back(
            {message->topic, {bytes, bytes + message->payloadlen}, message->qos, message->retain});
    });
    mosquitto_connect_callback_set(client_.get(),
                                   [](mosquitto*, void* self, int) { --static_cast<Mqtt*>(self)->pending_; });
    mosquitto_publish_callback_set(client_.get(),
                                   [](mosquitto*, void* self, int) { --static_cast<Mqtt*>(self)->pending_; });
    mosquitto_subscribe_callback_set(
        client_.get(), [](mosquitto*, void* self, int, int, const int*) { --static_cast<Mqtt*>(self)->pending_; });
    ++pending_;
    connect(host, port);
    flush();
}

/// Mosquitto lets ten clients wait on its Unix socket; the next one is told to come again.
void Mqtt::connect(const std::string& host, int port)
{
    constexpr std::chrono::seconds patience{5};
    for (const auto deadline = std::chrono::steady_clock::now() + patience;;) {
        errno = 0;
        const int result = mosquitto_connect(client_.get(), host.c_str(), port, keepalive_s);
        if (result != MOSQ_ERR_ERRNO || errno != EAGAIN || std::chrono::steady_clock::now() > deadline)
            return check(result, "connect");
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

void Mqtt::check(int result, const char* what) const
{
    if (result != MOSQ_ERR_SUCCESS)
        throw std::runtime_error{std::string{what} + ": " + mosquitto_strerror(result)};
}

void Mqtt::subscribe(const std::string& topic, int qos, int options)
{
    ++pending_;
    check(mosquitto_subscribe_v5(client_.get(), nullptr, topic.c_str(), qos, options, nullptr), "subscribe");
}

void Mqtt::unsubscribe(const std::string& topic)
{
    check(mosquitto_unsubscribe(client_.get(), nullptr, topic.c_str()), "unsubscribe");
}

void Mqtt::publish(const std::string& topic, const std::string& payload, int qos, bool retain)
{
    ++pending_;
    check(mosquitto_publish(client_.get(), nullptr, topic.c_str(), static_cast<int>(payload.size()), payload.data(),
                            qos, retain),
          "publish");
}

void Mqtt::loop(std::chrono::milliseconds timeout)
{
    check(mosquitto_loop(client_.get(), static_cast<int>(timeout.count()), 1), "the connection to the broker");
}

void Mqtt::flush()
{
    while (pending_ > 0)
        loop(tick);
}

void Mqtt::disconnect()
{
    flush();
    mosquitto_disconnect(client_.get());
    while (mosquitto_loop(client_.get(), static_cast<int>(tick.count()), 1) == MOSQ_ERR_SUCCESS) {
    }
}

} // namespace standin
