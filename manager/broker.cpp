// SPDX-License-Identifier: Apache-2.0
#include "manager/broker.hpp"

#include "manager/endpoint.hpp"
#include "manager/json_guard.hpp"
#include "manager/libmosquitto.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mqtt_protocol.h>
#include <utility>

#include <sys/epoll.h>

namespace belay::manager {

namespace {

/// Only TCP can lose the other side without a word. Of the death of a broker on a Unix socket the kernel tells; one
/// that hangs is missed by its modules, whose own keepalive is 20 s, and their ends are judged here. So an idle manager
/// sleeps.
constexpr int keepalive_s = 20;
constexpr int no_keepalive = 0;
/// All that MQTT 5 allows. Mosquitto 2.0.11 does not keep to a lower figure, and libmosquitto gives up a connection on
/// which more messages are in flight than it allowed: with its default of 20, a burst of QoS 2 messages would end us.
constexpr int most_incoming_in_flight = 65535;
constexpr auto longest_attempt = std::chrono::seconds(5);
constexpr auto first_retry_delay = std::chrono::milliseconds(50);
constexpr auto longest_retry_delay = std::chrono::milliseconds(1000);
constexpr auto first_complaint_interval = std::chrono::seconds(5);
constexpr auto longest_complaint_interval = std::chrono::seconds(300);
constexpr auto housekeeping_interval = std::chrono::seconds(9); // keepalive_s + this is below 1.5 * keepalive_s

std::string reason(int result, int error)
{
    return result == MOSQ_ERR_ERRNO ? std::strerror(error) : libmosquitto().strerror(result);
}

template <typename... Handlers>
struct Overloaded : Handlers...
{
    using Handlers::operator()...;
};
template <typename... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>; // clang 14 does not deduce aggregates

std::vector<char*> pointers(std::vector<std::string>& texts)
{
    std::vector<char*> result;
    for (auto& text : texts)
        result.push_back(text.data());
    return result;
}

std::string denied(const std::string& socket_path)
{
    const auto why = explain_denied(socket_path, ourselves());
    return why.empty() ? "could not connect to " + socket_path + ": " + std::strerror(EACCES) : why;
}

} // namespace

void Broker::Destroy::operator()(mosquitto* client) const
{
    libmosquitto().destroy(client);
}

Broker::Broker(EventLoop& loop, const config::Broker& settings, spdlog::logger& log, BrokerListener& listener)
    : loop_(loop),
      settings_(settings),
      log_(log),
      listener_(listener),
      retry_timer_(loop, [this] { attempt(); }),
      attempt_timer_(loop, [this] { attempt_failed("no answer"); }),
      housekeeping_timer_(loop, [this] { housekeeping(); }),
      retry_delay_(first_retry_delay)
{
    libmosquitto().lib_init();
}

Broker::~Broker()
{
    close();
    libmosquitto().lib_cleanup();
}

Broker::Client Broker::make_client()
{
    // An empty id and a clean session: the broker chooses the id.
    Client client(libmosquitto().create(nullptr, true, this));
    if (!client)
        throw std::system_error(errno, std::generic_category(), "could not create the MQTT client");
    libmosquitto().int_option(client.get(), MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    if (settings_.socket_path.empty())
        libmosquitto().int_option(client.get(), MOSQ_OPT_TCP_NODELAY, 1);
    libmosquitto().max_inflight_messages_set(client.get(), 0);
    libmosquitto().int_option(client.get(), MOSQ_OPT_RECEIVE_MAXIMUM, most_incoming_in_flight);
    libmosquitto().connect_v5_callback_set(
        client.get(), [](mosquitto*, void* self, int code, int, const mosquitto_property*) noexcept {
            static_cast<Broker*>(self)->events_.emplace_back(Connected{code});
        });
    libmosquitto().message_callback_set(client.get(), [](mosquitto*, void* self,
                                                         const mosquitto_message* message) noexcept {
        const auto size = static_cast<std::size_t>(std::max(message->payloadlen, 0));
        std::string payload(size > 0 ? static_cast<const char*>(message->payload) : "", size);
        static_cast<Broker*>(self)->events_.emplace_back(Received{message->topic, std::move(payload), message->retain});
    });
    libmosquitto().subscribe_callback_set(client.get(),
                                          [](mosquitto*, void* self, int message, int, const int*) noexcept {
                                              static_cast<Broker*>(self)->events_.emplace_back(Subscribed{message});
                                          });
    libmosquitto().unsubscribe_callback_set(client.get(), [](mosquitto*, void* self, int message) noexcept {
        static_cast<Broker*>(self)->events_.emplace_back(Unsubscribed{message});
    });
    libmosquitto().publish_callback_set(client.get(), [](mosquitto*, void* self, int message) noexcept {
        static_cast<Broker*>(self)->events_.emplace_back(Published{message});
    });
    return client;
}

void Broker::connect()
{
    begin(std::chrono::milliseconds(settings_.connect_timeout_ms));
}

void Broker::connect_again()
{
    again_ = true;
    begin(settings_.reconnect_timeout);
}

void Broker::begin(std::optional<std::chrono::milliseconds> patience)
{
    close();
    closed_ = false;
    patience_ = patience;
    deadline_ = std::chrono::steady_clock::now() + patience.value_or(std::chrono::milliseconds(0));
    next_complaint_ = {};
    complaint_interval_ = first_complaint_interval;
    addresses_.clear(); // it may have moved
    retry_timer_.arm(again_ ? retry_delay_ : std::chrono::milliseconds(0));
}

std::string Broker::next_address()
{
    if (addresses_.empty()) {
        auto resolved = resolve(settings_.host);
        if (!resolved) {
            attempt_failed("the name cannot be resolved: " + resolved.error());
            return {};
        }
        addresses_ = std::move(*resolved);
        std::ranges::reverse(addresses_);
    }
    auto address = std::move(addresses_.back());
    addresses_.pop_back();
    return address;
}

void Broker::attempt()
{
    const bool local = !settings_.socket_path.empty();
    const std::string address = local ? settings_.socket_path : next_address();
    if (address.empty())
        return;
    client_ = make_client();
    mosquitto_property* properties = nullptr;
    constexpr std::uint32_t room_for_topic = 65536;
    libmosquitto().property_add_int32(&properties, MQTT_PROP_MAXIMUM_PACKET_SIZE, largest_payload + room_for_topic);
    // A Unix socket is there or not; a TCP connection is waited for in the event loop.
    errno = 0;
    const int result =
        local ? libmosquitto().connect_bind_v5(client_.get(), address.c_str(), 0, no_keepalive, nullptr, properties)
              : libmosquitto().connect_bind_async(client_.get(), address.c_str(), settings_.port, keepalive_s, nullptr);
    const int error = errno;
    libmosquitto().property_free_all(&properties);
    const int socket = libmosquitto().socket(client_.get());
    if (result > 0 || socket < 0) {
        if (local && result == MOSQ_ERR_ERRNO && (error == EACCES || error == EPERM))
            return again_ ? attempt_failed(denied(settings_.socket_path)) : give_up(denied(settings_.socket_path));
        return attempt_failed(reason(result, error));
    }
    watch_.emplace(
        loop_, socket, EPOLLIN, [this](std::uint32_t events) { on_io(events); },
        [this]() -> std::uint32_t { return libmosquitto().want_write(client_.get()) ? EPOLLIN | EPOLLOUT : EPOLLIN; });
    attempt_timer_.arm(longest_attempt);
}

void Broker::attempt_failed(const std::string& why)
{
    close();
    const auto now = std::chrono::steady_clock::now();
    if (patience_ && now >= deadline_)
        return give_up("it did not come within " + std::to_string(patience_->count() / 1000) + " s: " + why +
                       "; start it, or correct the broker's address in the configuration");
    if (!addresses_.empty())
        return retry_timer_.arm(std::chrono::milliseconds(0));
    if (now >= next_complaint_) {
        log_.warn("waiting for the MQTT broker at {}: {}", describe(settings_), why);
        next_complaint_ = now + complaint_interval_;
        complaint_interval_ = std::min<std::chrono::seconds>(complaint_interval_ * 2, longest_complaint_interval);
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - now);
    retry_timer_.arm(patience_ ? std::min(retry_delay_, left + std::chrono::milliseconds(1)) : retry_delay_);
    retry_delay_ = std::min(retry_delay_ * 2, longest_retry_delay);
}

void Broker::give_up(const std::string& why)
{
    close();
    closed_ = true;
    listener_.on_broker_unreachable("no connection to the MQTT broker at " + describe(settings_) + ": " + why);
}

void Broker::close()
{
    watch_.reset(); // before the descriptor is closed
    attempt_timer_.disarm();
    retry_timer_.disarm();
    housekeeping_timer_.disarm();
    client_.reset();
    events_.clear();
    connected_ = false;
}

void Broker::disconnect()
{
    if (connected_) {
        watch_.reset();
        libmosquitto().disconnect_v5(client_.get(), 0, nullptr);
    }
    close();
    closed_ = true;
}

void Broker::on_io(std::uint32_t events)
{
    int result = MOSQ_ERR_SUCCESS;
    errno = 0;
    if ((events & (EPOLLOUT | EPOLLERR)) != 0)
        result = libmosquitto().loop_write(client_.get(), 1);
    if (result == MOSQ_ERR_SUCCESS && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        result = libmosquitto().loop_read(client_.get(), 1);
    const int error = errno;
    deliver();
    if (result != MOSQ_ERR_SUCCESS && client_ && !closed_)
        on_io_error(result, error);
}

void Broker::on_io_error(int result, int error)
{
    watch_.reset();
    const bool was_connected = connected_;
    const auto why = reason(result, error);
    if (!was_connected)
        return attempt_failed(why);
    // One that accepts connections and drops them at once is not asked again at once.
    const bool lasted = std::chrono::steady_clock::now() - connected_since_ >= longest_attempt;
    retry_delay_ = lasted ? first_retry_delay : std::min(retry_delay_ * 2, longest_retry_delay);
    close();
    closed_ = true;
    listener_.on_broker_lost(why);
}

void Broker::deliver()
{
    const auto connected = [this](const Connected& event) {
        if (event.reason != 0) {
            attempt_failed(libmosquitto().reason_string(event.reason));
            return;
        }
        connected_ = true;
        connected_since_ = std::chrono::steady_clock::now();
        attempt_timer_.arm(longest_attempt); // until the first answer: it may accept and then be silent
        if (settings_.socket_path.empty())
            housekeeping_timer_.arm(housekeeping_interval);
        log_.info("connected to the MQTT broker at {}", describe(settings_));
        listener_.on_broker_connected();
    };
    const Overloaded handler{
        connected,
        [this](const Received& event) { listener_.on_message(event.topic, event.payload, event.retained); },
        [this](const Subscribed& event) {
            attempt_timer_.disarm();
            listener_.on_subscribed(event.message);
        },
        [this](const Unsubscribed& event) { listener_.on_unsubscribed(event.message); },
        [this](const Published& event) { listener_.on_published(event.message); },
    };
    const auto events = std::exchange(events_, {});
    for (const auto& event : events)
        if (client_)
            std::visit(handler, event);
}

void Broker::housekeeping()
{
    errno = 0;
    const int result = libmosquitto().loop_misc(client_.get());
    const int error = errno;
    deliver();
    if (!client_)
        return;
    if (result != MOSQ_ERR_SUCCESS)
        return on_io_error(result, error);
    housekeeping_timer_.arm(housekeeping_interval);
}

std::optional<int> Broker::publish(const std::string& topic, std::string_view payload, int qos, bool retain)
{
    int message = 0;
    if (!connected_ ||
        libmosquitto().publish_v5(client_.get(), &message, topic.c_str(), static_cast<int>(payload.size()),
                                  payload.data(), qos, retain, nullptr) != MOSQ_ERR_SUCCESS)
        return std::nullopt;
    return message;
}

std::optional<int> Broker::subscribe(const std::vector<std::string>& filters, int qos)
{
    int message = 0;
    auto texts = filters;
    const auto list = pointers(texts);
    if (!connected_ || libmosquitto().subscribe_multiple(client_.get(), &message, static_cast<int>(list.size()),
                                                         list.data(), qos, 0, nullptr) != MOSQ_ERR_SUCCESS)
        return std::nullopt;
    return message;
}

std::optional<int> Broker::unsubscribe(const std::vector<std::string>& filters)
{
    int message = 0;
    auto texts = filters;
    const auto list = pointers(texts);
    if (!connected_ || libmosquitto().unsubscribe_multiple(client_.get(), &message, static_cast<int>(list.size()),
                                                           list.data(), nullptr) != MOSQ_ERR_SUCCESS)
        return std::nullopt;
    return message;
}

} // namespace belay::manager
