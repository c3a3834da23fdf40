// SPDX-License-Identifier: Apache-2.0
//
// What modules, or whoever reaches the broker, send to the manager over MQTT. The real conversation and the real
// libmosquitto; the fuzzer's messages are forwarded by a broker that this program plays. Guaranteed of any messages:
// the connection survives; nobody is told what it may not read; only what wire-protocol.md knows is published, and not
// more answers than requests; only a module's own topic makes it ready; and no line of the log carries control
// characters or is longer than a screen.
//
// A line of the input is a message, "0topic payload": its QoS (0, 1, 2; retained: a, b, c), its topic, its payload. The
// line "hold" lets the broker acknowledge nothing until "release".
#include "manager/config_service.hpp"
#include "manager/conversation.hpp"
#include "manager/dialect.hpp"
#include "manager/json_guard.hpp"
#include "manager/readiness.hpp"
#include "tests/fuzz/broker.hpp"
#include "tests/fuzz/require.hpp"
#include "tests/temporary_directory.hpp"

#include <mosquitto.h>
#include <spdlog/sinks/base_sink.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include <sys/socket.h>
#include <sys/un.h>

using namespace belay;
using namespace belay::manager;

namespace {

constexpr std::string_view secret = "7f3a91-vault-code";

config::Configuration example()
{
    config::Configuration result;
    result.settings.broker.everest_prefix = "everest/";
    for (const auto* id : {"guest", "friend", "vault"}) {
        auto& module = result.modules[id];
        module.id = id;
        module.name = "Thing";
        module.config = {{"module_id", id}, {"mapping", nullptr}, {"connections", nlohmann::json::object()}};
        auto& parameters = module.config["configuration_parameters"];
        parameters["!module"] = nlohmann::json::array();
        parameters["main"] = {{{"name", "size"},
                               {"value", 3},
                               {"characteristics", {{"datatype", "integer"}, {"mutability", "ReadOnly"}}}}};
    }
    result.modules["vault"].config["configuration_parameters"]["!module"].push_back(
        {{"name", "code"},
         {"value", secret},
         {"characteristics", {{"datatype", "string"}, {"mutability", "ReadWrite"}}}});
    result.modules["friend"].access.emplace().modules["vault"] = {true, false, true};
    result.manifests = {{"Thing", {{"description", "a thing"}}}};
    result.interface_definitions = {{"thing", {{"description", "a thing"}}}};
    result.schemas = nlohmann::json::object();
    result.types = nlohmann::json::object();
    return result;
}

/// A directory with the socket on which the broker listens.
class Place
{
public:
    Place()
    {
        listening = FileDescriptor{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path().copy(&address.sun_path[0], sizeof address.sun_path - 1);
        const auto* generic = reinterpret_cast<const sockaddr*>(&address);
        require(::bind(listening.get(), generic, sizeof address) == 0 && ::listen(listening.get(), 1) == 0,
                "there is a socket to listen on");
    }

    [[nodiscard]] std::string path() const { return (directory_.path / "broker").string(); }

    FileDescriptor listening;

private:
    TemporaryDirectory directory_{"fuzz"};
};

class JudgingSink : public spdlog::sinks::base_sink<spdlog::details::null_mutex>
{
protected:
    void sink_it_(const spdlog::details::log_msg& message) override
    {
        constexpr std::size_t longest = 1024;
        const std::string_view text{message.payload.data(), message.payload.size()};
        require(text.size() < longest, "no line of the log is longer than a screen");
        require(std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; }), "a log line is plain text");
    }
    void flush_() override {}
};

/// Forgets. Only what may be written may reach it.
class Forgetful final : public ParameterStore
{
public:
    tl::expected<void, std::string> prepare(spdlog::logger& /*log*/) override { return {}; }
    tl::expected<void, std::string> write(std::span<const Setting> settings) override
    {
        for (const auto& one : settings)
            require(one.value.is_number_integer() || one.value.is_string(), "a value is of its parameter's type");
        return {};
    }
};

/// One life of the manager, as far as MQTT is concerned: everything is ready, is announced, and ends.
class Session final : private ConversationListener
{
public:
    Session(const config::Configuration& configuration, const Place& place, std::string_view input)
        : configuration_(configuration),
          input_(input),
          log_("manager", std::make_shared<JudgingSink>()),
          readiness_({"guest", "friend"}, {"vault"}),
          broker_(loop_, place.listening.get(),
                  {[this] { talk(); }, [this] { conversation_.flush(); }, [this](const auto& one) { judge(one); },
                   [this] { loop_.exit(0); }}),
          conversation_(loop_, configuration, {"guest", "friend", "vault"}, store_, log_, *this)
    {
        log_.set_level(spdlog::level::trace);
    }

    void run()
    {
        conversation_.connect(true);
        loop_.run();
        require(connected_, "the manager came to talk");
        require(answers_ <= requests_, "there are not more answers than requests");
    }

private:
    void talk()
    {
        std::istringstream lines{input_};
        for (std::string line; std::getline(lines, line);) {
            if (line == "hold" || line == "release")
                broker_.acknowledge(line == "release");
            else if (line.size() > 2)
                say(line);
        }
        broker_.acknowledge(true);
        broker_.ask_to_settle();
    }

    void say(const std::string& line)
    {
        constexpr std::string_view kinds = "012abc";
        const auto kind = kinds.find(line.front());
        const auto space = line.find(' ');
        if (kind == kinds.npos || space == line.npos)
            return;
        const BrokerPlayer::Message message{line.substr(1, space - 1), line.substr(space + 1),
                                            static_cast<unsigned>(kind % 3), kind >= 3};
        if (!broker_.forward(message) || message.retained)
            return;
        ++said_[message.topic];
        if (message.topic == "everest/config/request" || message.topic.ends_with("/get_config"))
            ++requests_;
    }

    static bool has_type(const nlohmann::json& message, std::string_view type)
    {
        return type.empty() ? !message.contains("msg_type")
                            : message.size() == 2 && message.contains("data") && message.value("msg_type", "") == type;
    }

    void judge(const BrokerPlayer::Message& message)
    {
        if (message.retained || message.topic == "everest/shutdown") {
            require(message.topic.starts_with("everest/"), "it publishes below its prefix");
            return;
        }
        const auto value = parse_untrusted(message.payload);
        require(value.has_value(), "what is published is JSON");
        if (message.topic == "everest/ready") {
            require(std::ranges::any_of(
                        dialects(), [&](const auto& one) { return message.payload == wrap(one.global_type, true); }),
                    "the announcement is what its topic says");
            return;
        }
        constexpr std::string_view before = "everest/modules/";
        if (message.topic.ends_with("/config/set_request")) {
            require(has_type(*value, "ConfigurationRequest"), "a request to set is one");
            return;
        }
        const auto end = message.topic.rfind('/');
        require(message.topic.starts_with(before) && end >= before.size(), "a topic is one of the protocol");
        const auto id = message.topic.substr(before.size(), end - before.size());
        require(is_module_id(id), "an answer goes to a module");
        require(value->is_object() && std::ranges::any_of(dialects(),
                                                          [&](const auto& one) {
                                                              return message.topic.substr(end + 1) ==
                                                                         one.answer_topic &&
                                                                     has_type(*value, one.answer_type);
                                                          }),
                "an answer is what its topic says");
        require(id == "vault" || id == "friend" || input_.find(secret) != input_.npos ||
                    message.payload.find(secret) == message.payload.npos,
                "nobody is told what it may not read");
        ++answers_;
    }

    void on_connected() override
    {
        connected_ = true;
        conversation_.set_phase(Phase::running);
        conversation_.publish_metadata();
    }
    void on_broker_unreachable(const std::string& why) override { on_broker_lost(why); }
    void on_broker_lost(const std::string& why) override
    {
        std::fprintf(stderr, "%s\n", why.c_str());
        require(false, "the connection survives any message");
    }
    void on_metadata_published() override {}
    void on_broker_alive() override {}
    void on_asked(const std::string& module) override
    {
        require(configuration_.modules.contains(module), "only a module that exists can ask");
    }
    void on_answered(const std::string& module) override { on_asked(module); }
    void on_module_ready(const std::string& module) override
    {
        require(said_.contains("everest/modules/" + module + "/ready"), "a module is ready only by its own topic");
        if (readiness_.mark(module) != Readiness::Outcome::all_ready)
            return;
        conversation_.clear_metadata();
        conversation_.announce();
        conversation_.ask_whether_alive();
        readiness_.forget("guest"); // as if it had ended and been started again
        conversation_.publish_metadata();
    }
    void on_flushed() override
    {
        conversation_.disconnect();
        loop_.exit(0);
    }

    const config::Configuration& configuration_;
    std::string input_;
    spdlog::logger log_;
    Readiness readiness_;
    EventLoop loop_;
    BrokerPlayer broker_;
    Forgetful store_;
    Conversation conversation_;
    std::map<std::string, unsigned> said_; ///< by topic
    unsigned requests_ = 0;
    unsigned answers_ = 0;
    bool connected_ = false;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const Place place;
    static const auto configuration = [] {
        mosquitto_lib_init(); // once, not for each input
        auto result = example();
        result.settings.broker.socket_path = place.path();
        return result;
    }();
    Session{configuration, place, {reinterpret_cast<const char*>(data), size}}.run();
    return 0;
}
