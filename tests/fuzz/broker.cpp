// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/broker.hpp"

#include "tests/fuzz/require.hpp"

#include <mosquitto.h>

#include <array>
#include <cerrno>
#include <utility>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace {

/// The control packets' types, with the flags that they must have: MQTT 5, 2.1.2.
struct Type
{
    static constexpr unsigned char connect = 0x10;
    static constexpr unsigned char connack = 0x20;
    static constexpr unsigned char publish = 0x30;
    static constexpr unsigned char puback = 0x40;
    static constexpr unsigned char pubrec = 0x50;
    static constexpr unsigned char pubrel = 0x62;
    static constexpr unsigned char pubcomp = 0x70;
    static constexpr unsigned char subscribe = 0x82;
    static constexpr unsigned char suback = 0x90;
    static constexpr unsigned char unsubscribe = 0xa2;
    static constexpr unsigned char unsuback = 0xb0;
    static constexpr unsigned char disconnect = 0xe0;
};

std::string two_bytes(std::size_t value)
{
    return {static_cast<char>(value >> 8U), static_cast<char>(value & 0xffU)};
}

std::size_t two_bytes(std::string_view text)
{
    require(text.size() >= 2, "the client's packets are whole");
    return std::size_t{256} * static_cast<unsigned char>(text[0]) + static_cast<unsigned char>(text[1]);
}

/// A variable byte integer, MQTT 5, 1.5.5, taken from the front of `text`; nothing if it is not there yet.
std::optional<std::size_t> take_length(std::string_view& text)
{
    std::size_t value = 0;
    for (unsigned shift = 0; shift < 28 && !text.empty(); shift += 7) {
        const auto byte = static_cast<unsigned char>(text.front());
        text.remove_prefix(1);
        value |= static_cast<std::size_t>(byte & 0x7fU) << shift;
        if (byte < 0x80U)
            return value;
    }
    return std::nullopt;
}

std::string length_text(std::size_t value)
{
    std::string result;
    do {
        result += static_cast<char>((value & 0x7fU) | (value > 0x7fU ? 0x80U : 0U));
        value >>= 7U;
    } while (value > 0);
    return result;
}

} // namespace

BrokerPlayer::BrokerPlayer(belay::manager::EventLoop& loop, int listening, Listener listener)
    : loop_(loop),
      listening_(listening),
      listener_(std::move(listener)),
      watch_(std::in_place, loop, listening, EPOLLIN, [this](std::uint32_t) { accept(); })
{}

void BrokerPlayer::accept()
{
    connection_ = belay::FileDescriptor{::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC)};
    watch_.emplace(loop_, connection_.get(), EPOLLIN, [this](std::uint32_t) { receive(); });
}

void BrokerPlayer::receive()
{
    std::array<char, 16384> buffer{};
    const auto size = ::recv(connection_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        watch_.reset();
        return listener_.gone();
    }
    received_.append(buffer.data(), static_cast<std::size_t>(size));
    while (!received_.empty() && watch_) {
        std::string_view rest = std::string_view{received_}.substr(1);
        const auto length = take_length(rest);
        if (!length || rest.size() < *length)
            return;
        const auto type = static_cast<unsigned char>(received_.front());
        const std::string body{rest.substr(0, *length)};
        received_ = rest.substr(*length);
        take_packet(type, body);
    }
}

void BrokerPlayer::take_packet(unsigned char type, std::string_view body)
{
    if ((type & 0xf0U) == Type::publish)
        return take_publish(type & 0x0fU, body);
    switch (type) {
    case Type::connect:
        return send(Type::connack, std::string(3, '\0'));
    case Type::subscribe:
        take_subscription(Type::suback, body);
        if (!std::exchange(subscribed_, true))
            listener_.subscribed();
        return;
    case Type::unsubscribe:
        return take_subscription(Type::unsuback, body);
    case Type::pubrec:
        return send(Type::pubrel, std::string{body.substr(0, 2)});
    case Type::pubrel:
        return send(Type::pubcomp, std::string{body.substr(0, 2)});
    case Type::puback:
    case Type::pubcomp:
        unsettled_.erase(std::string{body.substr(0, 2)});
        return settle();
    case Type::disconnect:
        return;
    default:
        require(false, "the client sends what a client may send");
    }
}

void BrokerPlayer::take_publish(unsigned char flags, std::string_view body)
{
    Message message;
    message.qos = (flags >> 1U) & 3U;
    message.retained = (flags & 1U) != 0;
    const auto topic_size = two_bytes(body);
    message.topic = body.substr(2, topic_size);
    body.remove_prefix(2 + topic_size);
    const std::string number{body.substr(0, message.qos > 0 ? 2 : 0)};
    body.remove_prefix(number.size());
    const auto properties = take_length(body);
    require(properties == std::size_t{0}, "the client sends no properties");
    message.payload = body;
    if (message.qos > 0)
        held_.push_back(number);
    acknowledge(acknowledging_);
    listener_.message(message);
}

void BrokerPlayer::acknowledge(bool at_once)
{
    acknowledging_ = at_once;
    if (!at_once)
        return;
    for (const auto& number : std::exchange(held_, {}))
        send(Type::pubrec, number); // all that the client publishes reliably has QoS 2
}

void BrokerPlayer::take_subscription(unsigned char answer, std::string_view body)
{
    std::string text{body.substr(0, 2)};
    body.remove_prefix(2);
    require(take_length(body) == std::size_t{0}, "the client sends no properties");
    text += '\0';
    while (!body.empty()) {
        body.remove_prefix(2 + two_bytes(body) + (answer == Type::suback ? 1 : 0));
        text += answer == Type::suback ? '\2' : '\0';
    }
    send(answer, text);
}

bool BrokerPlayer::forward(const Message& message)
{
    constexpr std::size_t longest_topic = 65535;
    if (message.topic.empty() || message.topic.size() > longest_topic ||
        mosquitto_validate_utf8(message.topic.data(), static_cast<int>(message.topic.size())) != MOSQ_ERR_SUCCESS ||
        mosquitto_pub_topic_check2(message.topic.data(), message.topic.size()) != MOSQ_ERR_SUCCESS)
        return false;
    auto body = two_bytes(message.topic.size()) + message.topic;
    if (message.qos > 0) {
        const auto number = two_bytes(next_number_++);
        unsettled_.insert(number);
        body += number;
    }
    send(static_cast<unsigned char>(Type::publish | (message.qos << 1U) | (message.retained ? 1U : 0U)),
         body + '\0' + message.payload);
    return true;
}

void BrokerPlayer::ask_to_settle()
{
    settling_ = true;
    forward({"nothing", "", 1, false});
}

void BrokerPlayer::settle()
{
    if (unsettled_.empty() && std::exchange(settling_, false))
        listener_.settled();
}

void BrokerPlayer::send(unsigned char type, const std::string& body)
{
    const auto bytes = std::string(1, static_cast<char>(type)) + length_text(body.size()) + body;
    for (std::size_t sent = 0; watch_ && sent < bytes.size();) {
        const auto size = ::send(connection_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (size < 0) // the client went without a word: receive() sees it
            return;
        sent += static_cast<std::size_t>(size);
    }
}
