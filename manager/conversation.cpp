// SPDX-License-Identifier: Apache-2.0
#include "manager/conversation.hpp"

#include <algorithm>
#include <utility>

namespace belay::manager {

namespace {

constexpr std::size_t most_waiting_answers = 1024;
constexpr std::size_t most_stale_topics = 4096;
constexpr std::size_t longest_stale_topic = 1024; // a manager's are shorter; MQTT allows 64 KB

const Dialect& first_dialect(const config::Settings& settings)
{
    const auto* dialect =
        dialect_of_release(settings.broker.dialect.empty() ? settings.version : settings.broker.dialect);
    return dialect != nullptr ? *dialect : newest_dialect();
}

/// Each of the topics on which a request may come.
std::vector<std::string> request_filters(const Topics& topics)
{
    std::vector<std::string> filters;
    for (const auto& dialect : dialects())
        if (const auto filter = topics.of(dialect.request_topic); std::ranges::count(filters, filter) == 0)
            filters.push_back(filter);
    return filters;
}

/// Who asks; null if that is none of the configured ones.
const config::Module* find_module(const config::Configuration& configuration, const nlohmann::json& request)
{
    const auto origin = request.is_object() ? request.value("origin", nlohmann::json()) : nlohmann::json();
    const auto found = configuration.modules.find(origin.is_string() ? origin.get<std::string>() : std::string{});
    return found == configuration.modules.end() ? nullptr : &found->second;
}

} // namespace

Conversation::Conversation(EventLoop& loop, const config::Configuration& configuration,
                           const std::set<std::string>& modules, ParameterStore& store, spdlog::logger& log,
                           ConversationListener& listener)
    : configuration_(configuration),
      log_(log),
      listener_(listener),
      topics_(configuration.settings.broker.everest_prefix),
      dialect_(&first_dialect(configuration.settings)),
      dialect_known_from_(configuration.settings.broker.dialect.empty() ? "" : "belay.yaml"),
      service_(configuration, *dialect_),
      subscriptions_(request_filters(topics_)),
      broker_(loop, configuration.settings.broker, log, *this),
      changes_(loop, configuration, service_, store, log,
               {[this](const auto& answer) { tell(answer); },
                [this](const auto& module, const auto& data) { return ask_to_set(module, data); }}),
      round_trips_(broker_, log, topics_.of("round_trip"))
{
    for (const auto& module : modules)
        subscriptions_.push_back(topics_.ready(module));
    subscriptions_.push_back(topics_.set_response_filter());
    if (!dialect_known_from_.empty())
        log_.info("the modules are spoken to as by EVerest {}: {} says so", dialect_->release, dialect_known_from_);
}

/// What the last one was waiting for does not come any more.
void Conversation::forget_connection()
{
    looking_for_stale_ = asking_ = flushing_ = std::nullopt;
    stale_.clear();
    outdated_.clear();
    answers_under_way_.clear();
    unacknowledged_.clear();
    waiting_.clear();
    metadata_retained_ = clear_wanted_ = flush_wanted_ = flushed_ = false;
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
    if (!subscribing_ || !looking_for_stale_)
        on_broker_lost("could not subscribe");
}

void Conversation::send_metadata()
{
    metadata_retained_ = true;
    if (metadata_.empty())
        metadata_ = make_metadata(configuration_, topics_, *dialect_);
    for (const auto& message : metadata_) {
        const auto number = broker_.publish(message.topic, message.payload, 2, true);
        if (!number)
            return on_broker_lost("could not publish " + message.topic + " (" + std::to_string(message.payload.size()) +
                                  " bytes); the broker's max_packet_size may be too small");
        unacknowledged_.insert(*number);
    }
}

void Conversation::publish_metadata()
{
    clear_wanted_ = false;
    if (metadata_retained_ || !broker_.connected())
        return;
    metadata_published_ = false;
    send_metadata();
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
    round_trips_.on_subscribed(message);
    if (message == subscribing_)
        listener_.on_connected();
}

void Conversation::on_unsubscribed(int message)
{
    round_trips_.on_unsubscribed(message);
    if (message == looking_for_stale_)
        clear_stale();
    if (message == asking_)
        listener_.on_broker_alive();
    if (message == flushing_) {
        flushing_.reset();
        flushed_ = true;
        report_flushed();
    }
}

/// With QoS 2, the broker passes an answer on only when the whole handshake is done.
void Conversation::report_flushed()
{
    if (flushed_ && answers_under_way_.empty() && std::exchange(flushed_, false))
        listener_.on_flushed();
}

void Conversation::on_published(int message)
{
    if (answers_under_way_.erase(message) != 0)
        return report_flushed();
    if (unacknowledged_.erase(message) == 0 || !unacknowledged_.empty())
        return;
    metadata_published_ = true;
    listener_.on_metadata_published();
    for (const auto& topic : std::exchange(outdated_, {}))
        broker_.publish(topic, {}, 0, true);
    for (const auto& answer : std::exchange(waiting_, {}))
        reply(answer);
    if (std::exchange(clear_wanted_, false))
        clear_metadata();
    if (std::exchange(flush_wanted_, false))
        flush();
}

bool Conversation::is_published(std::string_view topic) const
{
    return std::ranges::any_of(metadata_, [&](const Message& message) { return message.topic == topic; });
}

void Conversation::note_stale(std::string_view topic)
{
    if (stale_.size() < most_stale_topics && topic.size() <= longest_stale_topic)
        stale_.emplace(topic);
}

void Conversation::clear_stale()
{
    std::erase_if(stale_, [this](const auto& topic) { return publishing_ && is_published(topic); });
    for (const auto& topic : stale_)
        broker_.publish(topic, {}, 0, true);
    if (!stale_.empty())
        log_.info("cleared {} that an earlier manager left behind", counted(stale_.size(), "retained topic"));
    stale_.clear();
}

void Conversation::on_message(std::string_view topic, std::string_view payload, bool retained)
{
    const auto module = topics_.ready_module(topic);
    const auto changed = topics_.set_response_module(topic);
    if (retained && topics_.is_metadata(topic))
        note_stale(topic);
    else if (retained)
        complain("retained", topic, "it is a retained one, from an earlier time");
    else if (!module.empty())
        handle_ready(topic, module, payload);
    else if (!changed.empty())
        handle_set_response(topic, changed, payload);
    else if (!topics_.is_metadata(topic))
        handle_request(topic, payload);
}

void Conversation::handle_request(std::string_view topic, std::string_view payload)
{
    const auto request = read_request(topics_.rest_of(topic), payload);
    if (!request)
        return complain("request", topic, request.error());
    if (!understands(*request, topic))
        return;
    auto answer = service_.answer(request->data);
    if (!answer)
        return complain("origin", topic, "it does not say which module asks");
    if (answer->change)
        return changes_.request(std::move(*answer->change));
    tell(*answer);
}

void Conversation::tell(const ConfigService::Answer& answer)
{
    if (!answer.refusal.empty())
        complain("refusal", topics_.of("config/request"), answer.refusal);
    if (answer.start_up)
        listener_.on_asked(answer.origin);
    if (metadata_published_)
        return reply(answer);
    if (waiting_.size() == most_waiting_answers)
        return complain("flood", topics_.of("config/request"), "too many requests before the start");
    waiting_.push_back(answer);
}

bool Conversation::ask_to_set(const std::string& module, const nlohmann::json& data)
{
    return dialect_->set_request &&
           broker_.publish(topics_.set_request(module), wrap("ConfigurationRequest", data), 2, false).has_value();
}

void Conversation::handle_set_response(std::string_view topic, std::string_view module, std::string_view payload)
{
    if (const auto understood = changes_.on_response(std::string{module}, payload); !understood)
        complain("set_response", topic, understood.error());
}

/// Learns the dialect if it is not known yet; false, and said so, if the module speaks another one.
bool Conversation::understands(const Request& request, std::string_view topic)
{
    const auto* module = find_module(configuration_, request.data);
    if (dialect_known_from_.empty() && module != nullptr)
        learn(*request.dialect, module->id);
    if (dialect_->sounds_like(*request.dialect))
        return true;
    if (module == nullptr)
        complain("request", topic,
                 "it is in the words of another release of EVerest, and of no module that is configured");
    else if (rate_limit_.admit("dialect of " + module->id))
        log_entry(
            log_, spdlog::level::err, about_module(module->id),
            fmt::format(
                "{}: asks for its configuration in the words of EVerest {}, but all are spoken to as by EVerest {} "
                "({}); "
                "it gets no answer, and will end; install it from the release of the others, or name the right release "
                "in belay.yaml, `broker: {{dialect: ...}}`",
                module->id, request.dialect->release, dialect_->release, dialect_known_from_));
    return false;
}

void Conversation::learn(const Dialect& dialect, const std::string& origin)
{
    dialect_known_from_ = '`' + origin + "` asked first";
    const bool guessed = !dialect_->sounds_like(dialect);
    if (guessed)
        speak(dialect);
    log_.info("the modules are spoken to as by EVerest {}: {}", dialect_->release, dialect_known_from_);
    const auto alike = std::ranges::find_if(
        dialects(), [&](const Dialect& one) { return &one != dialect_ && one.sounds_like(*dialect_); });
    if (guessed && alike != dialects().end())
        log_.warn(
            "modules of EVerest {} ask in the same words, and {} does not say which release this is; if it is that "
            "one, set `broker: {{dialect: \"{}\"}}` in belay.yaml",
            alike->release, (configuration_.settings.data_dir / "version_information.txt").string(), alike->release);
}

/// No module has read anything yet: each waits for the answer to its request first.
void Conversation::speak(const Dialect& dialect)
{
    dialect_ = &dialect;
    service_.speak(dialect);
    const auto before = std::exchange(metadata_, make_metadata(configuration_, topics_, dialect));
    for (const auto& message : before)
        if (!is_published(message.topic))
            outdated_.push_back(message.topic);
    metadata_published_ = false;
    send_metadata();
}

void Conversation::reply(const ConfigService::Answer& answer)
{
    if (answer.payload.empty())
        return;
    const auto topic = topics_.of_module(answer.origin, dialect_->answer_topic);
    const auto number = broker_.publish(topic, answer.payload, 2, false);
    if (!number) {
        if (broker_.connected())
            log_entry(
                log_, spdlog::level::err, about_module(answer.origin),
                fmt::format(
                    "{}: could not publish its configuration ({} bytes); the broker's max_packet_size may be too small",
                    answer.origin, answer.payload.size()));
        return;
    }
    answers_under_way_.insert(*number);
    if (answer.start_up)
        listener_.on_answered(answer.origin);
}

void Conversation::handle_ready(std::string_view topic, std::string_view module, std::string_view payload)
{
    const auto ready = read_ready(payload, dialect_known_from_.empty() ? nullptr : dialect_);
    if (!ready)
        return complain("ready", topic, ready.error());
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
    // Not before: what is said meanwhile would acknowledge what is measured.
    if (configuration_.settings.broker.socket_path.empty())
        round_trips_.begin();
    broker_.publish(topics_.global_ready(), wrap(dialect_->global_type, true), 2, false);
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
