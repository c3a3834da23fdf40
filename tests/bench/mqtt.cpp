// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/mqtt.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace bench {

namespace {

// MQTT 5.0, 2.1.2: the packet types, with the flags they must have.
constexpr std::uint8_t connect_packet = 0x10;
constexpr std::uint8_t connack = 0x20;
constexpr std::uint8_t publish_packet = 0x30;
constexpr std::uint8_t puback = 0x40;
constexpr std::uint8_t pubrec = 0x50;
constexpr std::uint8_t pubrel = 0x62;
constexpr std::uint8_t pubcomp = 0x70;
constexpr std::uint8_t subscribe_packet = 0x82;
constexpr std::uint8_t unsubscribe_packet = 0xa2;
constexpr std::uint8_t disconnect_packet = 0xe0;
constexpr std::uint8_t receive_maximum = 0x21;

std::runtime_error failure(const std::string& what)
{
    return std::runtime_error{what + ": " + std::strerror(errno)};
}

void put16(std::string& out, std::size_t value)
{
    out.push_back(static_cast<char>(value >> 8U & 0xffU));
    out.push_back(static_cast<char>(value & 0xffU));
}

void put_text(std::string& out, std::string_view text)
{
    put16(out, text.size());
    out.append(text);
}

std::uint8_t byte_at(std::string_view bytes, std::size_t at)
{
    if (at >= bytes.size())
        throw std::runtime_error{"the broker sent a packet that is too short"};
    return static_cast<std::uint8_t>(bytes[at]);
}

std::uint16_t take16(std::string_view& bytes)
{
    const auto value = static_cast<std::uint16_t>(byte_at(bytes, 0) << 8U | byte_at(bytes, 1));
    bytes.remove_prefix(2);
    return value;
}

/// A variable byte integer; false if it is not complete.
bool take_length(std::string_view& bytes, std::size_t& value)
{
    value = 0;
    for (std::size_t i = 0; i < 4 && i < bytes.size(); ++i) {
        value |= (byte_at(bytes, i) & 0x7fU) << 7U * i;
        if ((byte_at(bytes, i) & 0x80U) == 0) {
            bytes.remove_prefix(i + 1);
            return true;
        }
    }
    return false;
}

/// 2.2.2.2, of the ones that a CONNACK can have: the size of the value.
std::size_t size_of_property(std::uint8_t id, std::string_view value)
{
    switch (id) {
    case 0x24: // maximum QoS
    case 0x25: // retain available
    case 0x28: // wildcard subscriptions
    case 0x29: // subscription identifiers
    case 0x2a: // shared subscriptions
        return 1;
    case 0x13: // server keep alive
    case receive_maximum:
    case 0x22: // topic alias maximum
        return 2;
    case 0x11: // session expiry interval
    case 0x27: // maximum packet size
        return 4;
    default: // a text
        return 2 + std::size_t{take16(value)};
    }
}

} // namespace

Client::Client(const std::string& socket_path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_path.size() >= sizeof address.sun_path)
        throw std::runtime_error{"the path of the socket is too long"};
    std::memcpy(static_cast<char*>(address.sun_path), socket_path.data(), socket_path.size());
    descriptor_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor_ < 0 || ::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        throw failure("connect to " + socket_path);
    std::string body;
    put_text(body, "MQTT");
    body += {5, 2, 0, 0, 3, receive_maximum}; // version, clean start, no keepalive, one property of three bytes
    put16(body, 65535);
    put_text(body, ""); // the broker chooses the id
    packet(connect_packet, body);
    while (!accepted_)
        read();
}

Client::~Client()
{
    ::close(descriptor_);
}

std::uint16_t Client::next_id()
{
    if (++last_id_ == 0)
        ++last_id_;
    return last_id_;
}

void Client::packet(std::uint8_t header, std::string_view body)
{
    out_.push_back(static_cast<char>(header));
    auto rest = body.size();
    do {
        out_.push_back(static_cast<char>((rest & 0x7fU) | (rest > 0x7f ? 0x80U : 0U)));
        rest >>= 7U;
    } while (rest > 0);
    out_.append(body);
}

void Client::acknowledge(std::uint8_t header, std::uint16_t id)
{
    std::string body;
    put16(body, id);
    packet(header, body);
}

void Client::subscribe(std::string_view topic, int qos)
{
    std::string body;
    put16(body, next_id());
    body.push_back(0);
    put_text(body, topic);
    body.push_back(static_cast<char>(qos));
    packet(subscribe_packet, body);
}

void Client::unsubscribe(std::string_view topic)
{
    std::string body;
    put16(body, next_id());
    body.push_back(0);
    put_text(body, topic);
    packet(unsubscribe_packet, body);
}

void Client::publish(std::string_view topic, std::string_view payload, int qos, bool retain)
{
    std::string body;
    put_text(body, topic);
    if (qos > 0)
        put16(body, next_id());
    body.push_back(0);
    body.append(payload);
    const auto header =
        static_cast<std::uint8_t>(publish_packet | static_cast<unsigned>(qos) << 1U | (retain ? 1U : 0U));
    if (qos == 0)
        return packet(header, body);
    waiting_.push_back(std::move(body));
    waiting_headers_.push_back(header);
    send_waiting();
}

void Client::send_waiting()
{
    for (; !waiting_.empty() && in_flight_ < window_; ++in_flight_) {
        packet(waiting_headers_.front(), waiting_.front());
        waiting_.pop_front();
        waiting_headers_.pop_front();
    }
}

void Client::disconnect()
{
    while (!settled())
        read();
    packet(disconnect_packet, {});
    flush();
}

void Client::flush()
{
    std::string_view rest = out_;
    while (!rest.empty()) {
        const auto sent = ::send(descriptor_, rest.data(), rest.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            throw failure("send to the broker");
        rest.remove_prefix(sent < 0 ? 0 : static_cast<std::size_t>(sent));
    }
    out_.clear();
}

bool Client::receive(Message& message)
{
    while (inbox.empty())
        if (!read())
            return false;
    message = std::move(inbox.front());
    inbox.pop_front();
    return true;
}

bool Client::read(bool wait)
{
    flush();
    std::array<char, 65536> buffer; // NOLINT(cppcoreguidelines-pro-type-member-init): recv(2) fills it
    const auto size = ::recv(descriptor_, buffer.data(), buffer.size(), wait ? 0 : MSG_DONTWAIT);
    if (size < 0 && (errno == EINTR || errno == EAGAIN))
        return errno == EAGAIN;
    if (size <= 0)
        throw std::runtime_error{size == 0 ? "the broker closed the connection" : std::strerror(errno)};
    in_.append(buffer.data(), static_cast<std::size_t>(size));
    while (handle_next()) {
    }
    flush();
    return true;
}

bool Client::handle_next()
{
    std::string_view rest = in_;
    std::size_t length = 0;
    if (rest.size() < 2)
        return false;
    const auto header = byte_at(rest, 0);
    rest.remove_prefix(1);
    if (!take_length(rest, length) || rest.size() < length)
        return false;
    handle(header, rest.substr(0, length));
    in_.erase(0, in_.size() - rest.size() + length);
    return true;
}

void Client::handle(std::uint8_t header, std::string_view body)
{
    switch (header & 0xf0U) {
    case connack:
        return handle_connack(body);
    case publish_packet:
        return handle_publish(header, body);
    case pubrec:
        return acknowledge(pubrel, take16(body));
    case pubrel & 0xf0U:
        return release(take16(body));
    case puback:
    case pubcomp:
        --in_flight_;
        return send_waiting();
    case disconnect_packet:
        throw std::runtime_error{"the broker ended the connection, reason " +
                                 std::to_string(body.empty() ? 0 : byte_at(body, 0))};
    default:
        return; // SUBACK, UNSUBACK
    }
}

void Client::handle_connack(std::string_view body)
{
    if (byte_at(body, 1) != 0)
        throw std::runtime_error{"the broker refused the connection, reason " + std::to_string(byte_at(body, 1))};
    body.remove_prefix(2);
    window_ = 65535;
    std::size_t length = 0;
    take_length(body, length);
    for (auto properties = body.substr(0, length); !properties.empty();) {
        const auto id = byte_at(properties, 0);
        properties.remove_prefix(1);
        const auto size = size_of_property(id, properties);
        if (id == receive_maximum)
            window_ = static_cast<std::uint16_t>(byte_at(properties, 0) << 8U | byte_at(properties, 1));
        properties.remove_prefix(std::min(size, properties.size()));
    }
    accepted_ = true;
}

void Client::handle_publish(std::uint8_t header, std::string_view body)
{
    Message message;
    const auto length = take16(body);
    message.topic = body.substr(0, length);
    body.remove_prefix(std::min<std::size_t>(length, body.size()));
    message.retain = (header & 1U) != 0;
    const unsigned qos = header >> 1U & 3U;
    const auto id = qos > 0 ? take16(body) : std::uint16_t{0};
    std::size_t properties = 0;
    take_length(body, properties);
    body.remove_prefix(std::min(properties, body.size()));
    message.payload = body;
    if (qos < 2)
        inbox.push_back(std::move(message));
    else
        held_.push_back({id, std::move(message)});
    if (qos > 0)
        acknowledge(qos == 1 ? puback : pubrec, id);
}

void Client::release(std::uint16_t id)
{
    acknowledge(pubcomp, id);
    const auto found = std::find_if(held_.begin(), held_.end(), [&](const Held& held) { return held.id == id; });
    if (found == held_.end())
        return;
    inbox.push_back(std::move(found->message));
    held_.erase(found);
}

} // namespace bench
