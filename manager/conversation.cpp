// SPDX-License-Identifier: Apache-2.0
#include "manager/conversation.hpp"

#include "manager/json_guard.hpp"

#include <algorithm>
#include <utility>

namespace belay::manager {

namespace {

constexpr std::size_t most_waiting_answers = 1024;
constexpr std::size_t most_stale_topics = 4096;

} // namespace

Conversation::Conversation(EventLoop& loop, const config::Configuration& configuration,
                           const std::set<std::string>& modules, spdlog::logger& log, ConversationListener& listener)
    : settings_(configuration.settings.broker),
      log_(log),
      listener_(listener),
      topics_(settings_.everest_prefix),
      metadata_(make_metadata(configuration, topics_)),
      service_(configuration),
      subscriptions_{topics_.config_request()},
      broker_(loop, settings_, log, *this)
{
    for (const auto& module : modules)
        subscriptions_.push_back(topics_.ready(module));
}

/// What the last one was waiting for does not come any more.
void Conversation::forget_connection()
{
    looking_for_stale_ = asking_ = flushing_ = std::nullopt;
    stale_.clear();
    unacknowledged_.clear();
    waiting_.clear();
    metadata_retained_ = clear_wanted_ = flush_wanted_ = false;
    metadata_published_ = !publishing_;
}

void Conversation::on_broker_connected()
{
    forget_connection();
    // All in one go: the broker handles it in this order.
    subscribing_ = broker_.subscribe(subscriptions_, 2);
    const auto filters = topics_.metadata_filters();
    broker_.subscribe(filters, 0);
    looking_for_stale_ = broker_.unsubscribe(filters);
    if (publishing_)
        publish_metadata();
    if (!subscribing_ || !looking_for_stale_)
        on_broker_lost("could not subscribe");
}

void Conversation::publish_metadata()
{
    published_ns_ = monotonic_ns();
    metadata_retained_ = true;
    for (const auto& message : metadata_) {
        const auto number = broker_.publish(message.topic, message.payload, 2, true);
        if (!number)
            return on_broker_lost("could not publish " + message.topic + " (" + std::to_string(message.payload.size()) +
                                  " bytes); the broker's max_packet_size may be too small");
        unacknowledged_.insert(*number);
    }
}

void Conversation::publish_again()
{
    clear_wanted_ = false;
    if (metadata_retained_ || !broker_.connected())
        return;
    metadata_published_ = false;
    publish_metadata();
}

void Conversation::on_broker_unreachable(const std::string& why)
{
    listener_.on_broker_unreachable(why);
}

void Conversation::on_broker_lost(const std::string& why)
{
    listener_.on_broker_lost("the connection to the MQTT broker is lost: " + why);
}

void Conversation::on_subscribed(int message)
{
    if (message == subscribing_)
        listener_.on_connected();
}

void Conversation::on_unsubscribed(int message)
{
    if (message == looking_for_stale_)
        clear_stale();
    if (message == asking_)
        listener_.on_broker_alive();
    if (message == flushing_)
        listener_.on_flushed();
}

void Conversation::on_published(int message)
{
    if (unacknowledged_.erase(message) == 0)
        return;
    if (unacknowledged_.size() + 1 == metadata_.size())
        judge_round_trip();
    if (!unacknowledged_.empty())
        return;
    metadata_published_ = true;
    listener_.on_metadata_published();
    for (const auto& answer : std::exchange(waiting_, {}))
        reply(answer);
    if (std::exchange(clear_wanted_, false))
        clear_metadata();
    if (std::exchange(flush_wanted_, false))
        flush();
}

void Conversation::judge_round_trip() const
{
    constexpr double ns_per_ms = 1e6;
    constexpr double suspicious_ms = 30;
    const double elapsed_ms = static_cast<double>(monotonic_ns() - published_ns_) / ns_per_ms;
    if (settings_.socket_path.empty() && elapsed_ms > suspicious_ms)
        log_.warn(
            "the MQTT broker took {:.0f} ms to acknowledge a message; `set_tcp_nodelay true` in mosquitto.conf, or "
            "a Unix socket, makes the start of the modules faster",
            elapsed_ms);
}

void Conversation::note_stale(std::string_view topic)
{
    const auto ours = [&](const Message& message) { return message.topic == topic; };
    if (stale_.size() < most_stale_topics && !(publishing_ && std::ranges::any_of(metadata_, ours)))
        stale_.emplace(topic);
}

void Conversation::clear_stale()
{
    for (const auto& topic : stale_)
        broker_.publish(topic, {}, 0, true);
    if (!stale_.empty())
        log_.info("cleared {} that an earlier manager left behind", counted(stale_.size(), "retained topic"));
    stale_.clear();
}

void Conversation::on_message(std::string_view topic, std::string_view payload, bool retained)
{
    const auto module = topics_.ready_module(topic);
    if (retained && topics_.is_metadata(topic))
        note_stale(topic);
    else if (retained)
        complain("retained", topic, "it is a retained one, from an earlier time");
    else if (topic == topics_.config_request())
        handle_request(topic, payload);
    else if (!module.empty())
        handle_ready(topic, module, payload);
}

void Conversation::handle_request(std::string_view topic, std::string_view payload)
{
    const auto request = open_envelope(payload, "ConfigurationRequest");
    if (!request)
        return complain("request", topic, request.error());
    auto answer = service_.answer(*request);
    if (!answer)
        return complain("origin", topic, "it does not say which module asks");
    if (!answer->refusal.empty())
        complain("refusal", topic, answer->refusal);
    if (answer->start_up)
        listener_.on_asked(answer->origin);
    if (metadata_published_)
        return reply(*answer);
    if (waiting_.size() == most_waiting_answers)
        return complain("flood", topic, "too many requests before the start");
    waiting_.push_back(std::move(*answer));
}

void Conversation::reply(const ConfigService::Answer& answer)
{
    const auto topic = topics_.response(answer.origin);
    if (!broker_.publish(topic, answer.payload, 2, false)) {
        if (broker_.connected())
            log_.error(
                "{}: could not publish its configuration ({} bytes); the broker's max_packet_size may be too small",
                answer.origin, answer.payload.size());
        return;
    }
    if (answer.start_up)
        listener_.on_answered(answer.origin);
}

void Conversation::handle_ready(std::string_view topic, std::string_view module, std::string_view payload)
{
    const auto ready = open_envelope(payload, "ModuleReady");
    if (!ready)
        return complain("ready", topic, ready.error());
    if (*ready != nlohmann::json(true))
        return complain("ready", topic, "its `data` is not true");
    listener_.on_module_ready(std::string{module});
}

void Conversation::complain(std::string_view kind, std::string_view topic, std::string_view why)
{
    const auto withheld = rate_limit_.admit(kind);
    if (!withheld)
        return;
    const auto more = *withheld > 0 ? " (and " + std::to_string(*withheld) + " like it before)" : std::string{};
    log_.warn("{} a message on {}: {}{}", kind == "refusal" ? "refused" : "ignored", printable(topic),
              printable(why, 240), more);
}

/// libmosquitto offers no ping of its own; this is one, for nobody has subscribed to it.
void Conversation::ask_whether_alive()
{
    asking_ = broker_.unsubscribe({topics_.shutdown()});
}

void Conversation::clear_metadata()
{
    // With QoS 2, what is not acknowledged may take effect after its clearing, which has QoS 0.
    clear_wanted_ = metadata_retained_ && !unacknowledged_.empty();
    if (clear_wanted_ || !std::exchange(metadata_retained_, false))
        return;
    for (const auto& message : metadata_)
        broker_.publish(message.topic, {}, 0, true);
}

void Conversation::announce()
{
    broker_.publish(topics_.global_ready(), envelope("GlobalReady", true), 2, false);
}

void Conversation::ask_to_shut_down()
{
    broker_.publish(topics_.shutdown(), "true", 2, false);
}

void Conversation::flush()
{
    clear_metadata();
    flush_wanted_ = clear_wanted_;
    if (flush_wanted_)
        return;
    // The broker handles what we send in order: when it acknowledges this, it has seen the rest.
    flushing_ = broker_.unsubscribe(subscriptions_);
    if (!flushing_)
        listener_.on_flushed();
}

} // namespace belay::manager
