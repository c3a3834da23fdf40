// SPDX-License-Identifier: Apache-2.0
//
// Plays any EVerest module: the start-up protocol in full, then it reports what it is from inside on the topic
// standin/<id>/report, once after the answer and once after the global ready. <prefix>/share/everest/standin.json tells
// it to misbehave: {"<id>": {"exit_before_ready": 3, "never_ready": true, "ignore_shutdown": true, "ignore_term":
// true, "set": "Rejected"}}. A change of a parameter it takes (Accepted), if `set` does not say otherwise:
// RebootRequired, Rejected, Error, or silence.

#include "tests/integration/inside.hpp"
#include "tests/integration/mqtt.hpp"

#include <csignal>
#include <cstdio>
#include <fstream>
#include <map>
#include <optional>

#include <unistd.h>

namespace {

using namespace standin;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

#ifdef STANDIN_LIKE_RUST
/// What tells a Rust binary from a C++ one; volatile, so that it stays in the binary.
const volatile char rust_mark[] = "RUST_BACKTRACE";
#endif

/// argv as a module of EVerest takes it: an unknown or missing option is fatal, and so is a socket with a host.
class Arguments
{
public:
    Arguments(int argc, char** argv)
    {
        for (int i = 1; i + 1 < argc; i += 2)
            values_[argv[i]] = argv[i + 1];
        for (const auto* needed :
             {"--prefix", "--module", "--log_config", "--mqtt_everest_prefix", "--mqtt_external_prefix"})
            if (!values_.contains(needed))
                throw std::runtime_error{std::string{"missing argument "} + needed};
        const bool host = values_.contains("--mqtt_broker_host") && values_.contains("--mqtt_broker_port");
#ifdef STANDIN_LIKE_RUST
        if (!host || rust_mark[0] != 'R')
            throw std::runtime_error{"host and port of the broker are needed"};
#else
        if (host == values_.contains("--mqtt_broker_socket_path"))
            throw std::runtime_error{"either the broker's socket or its host and port are needed"};
#endif
        const auto expected = std::size_t{5} + (values_.contains("--mqtt_broker_socket_path") ? 1 : 0) + (host ? 2 : 0);
        if (argc % 2 == 0 || values_.size() != expected)
            throw std::runtime_error{"unknown arguments"};
    }

    [[nodiscard]] std::string operator[](const std::string& name) const
    {
        const auto found = values_.find("--" + name);
        return found == values_.end() ? std::string{} : found->second;
    }

private:
    std::map<std::string, std::string> values_;
};

class Module
{
public:
    Module(const Arguments& arguments, json self)
        : id_(arguments["module"]),
          topics_(arguments["mqtt_everest_prefix"]),
          self_(std::move(self)),
          mqtt_(connect(arguments))
    {
        std::ifstream file{arguments["prefix"] + "/share/everest/standin.json"};
        const auto all = json::parse(file, nullptr, false);
        if (all.is_object() && all.contains(id_))
            behaviour_ = all[id_];
    }

    int run()
    {
        if (behaviour_.value("ignore_term", false))
            ::signal(SIGTERM, SIG_IGN);
        const auto answer = request_configuration();
        report("answered");
        read_metadata();
        if (behaviour_.contains("exit_before_ready"))
            return behaviour_["exit_before_ready"].get<int>();
        mqtt_.subscribe(topics_ + "ready", 2);
        mqtt_.subscribe(topics_ + "shutdown", 2);
        mqtt_.subscribe(topics_ + "modules/" + id_ + "/config/set_request", 2);
        const auto name = answer["response"]["data"]["module_config"]["module_name"].get<std::string>();
        publish("modules/" + id_ + "/metadata", "ConfigurationResponse",
                {{"module", name}, {"provides", provides(name)}});
        if (!behaviour_.value("never_ready", false))
            publish("modules/" + id_ + "/ready", "ModuleReady", true);
        return serve();
    }

private:
    static Mqtt connect(const Arguments& arguments)
    {
        const auto socket = arguments["mqtt_broker_socket_path"];
        return socket.empty() ? Mqtt{arguments["mqtt_broker_host"], std::stoi(arguments["mqtt_broker_port"])}
                              : Mqtt{socket, 0};
    }

    void publish(const std::string& topic, const char* type, json data)
    {
        mqtt_.publish(topics_ + topic, json{{"msg_type", type}, {"data", std::move(data)}}.dump(), 2);
    }

    /// The next message of `topic` and `type`; nothing after 5 s.
    std::optional<json> receive(const std::string& topic, const std::string& type)
    {
        for (const auto deadline = Clock::now() + std::chrono::seconds(5); Clock::now() < deadline;) {
            mqtt_.loop(std::chrono::milliseconds(100));
            for (; !mqtt_.inbox.empty(); mqtt_.inbox.pop_front()) {
                auto message = json::parse(mqtt_.inbox.front().payload, nullptr, false);
                if (mqtt_.inbox.front().topic == topic && message.is_object() && message.value("msg_type", "") == type)
                    return message["data"];
            }
        }
        return std::nullopt;
    }

    json request_configuration()
    {
        const auto topic = topics_ + "modules/" + id_ + "/response";
        mqtt_.subscribe(topic, 2);
        for (int attempt = 0; attempt < 2; ++attempt) {
            publish("config/request", "ConfigurationRequest",
                    {{"type", "Get"}, {"origin", id_}, {"request", {{"type", "Module"}}}});
            if (auto answer = receive(topic, "ConfigurationResponse")) {
                if (answer->value("status", "") != "Ok")
                    throw std::runtime_error{"refused: " + answer->dump()};
                return *answer;
            }
        }
        throw std::runtime_error{"no answer"};
    }

    json look_up(const std::string& topic)
    {
        for (int attempt = 0; attempt < 2; ++attempt) {
            mqtt_.subscribe(topics_ + topic, 2);
            auto data = receive(topics_ + topic, "ConfigurationResponse");
            mqtt_.unsubscribe(topics_ + topic);
            if (data)
                return *data;
        }
        throw std::runtime_error{"nothing retained at " + topic};
    }

    void read_metadata()
    {
        for (const auto& name : look_up("interfaces"))
            look_up("interface_definitions/" + name.get<std::string>());
        for (const auto& path : look_up("types"))
            look_up("type_definitions" + path.get<std::string>());
        if (look_up("settings").at("validate_schema").get<bool>())
            look_up("schemas");
        const auto names = look_up("module_names"); // items() does not keep a temporary alive
        for (const auto& [id, name] : names.items())
            manifests_[name.get<std::string>()] = look_up("manifests/" + name.get<std::string>());
    }

    [[nodiscard]] json provides(const std::string& name) const
    {
        auto result = json::object();
        for (const auto& [id, implementation] : manifests_.at(name).at("provides").items())
            result[id] = {{"interface", implementation.at("interface")}};
        return result;
    }

    void report(const char* phase)
    {
        self_["phase"] = phase;
        mqtt_.publish("standin/" + id_ + "/report", self_.dump(), 2);
    }

    void answer_change()
    {
        const auto what = behaviour_.value("set", "Accepted");
        if (what == "silence")
            return;
        json data{{"status", what == "Error" ? what : "Ok"}, {"status_info", ""}};
        if (what != "Error")
            data["type"] = "Set";
        data["response"] = {{"status", what == "Error" ? "Rejected" : what}, {"status_info", ""}};
        publish("modules/" + id_ + "/config/set_response", "ConfigurationResponse", std::move(data));
    }

    int serve()
    {
        for (;;) {
            mqtt_.loop(std::chrono::seconds(1));
            for (; !mqtt_.inbox.empty(); mqtt_.inbox.pop_front()) {
                const auto& topic = mqtt_.inbox.front().topic;
                if (topic == topics_ + "ready") {
                    self_["attempts"] = attempts();
                    report("ready");
                }
                if (topic.ends_with("/config/set_request"))
                    answer_change();
                if (topic == topics_ + "shutdown" && !behaviour_.value("ignore_shutdown", false)) {
                    mqtt_.disconnect();
                    return 0;
                }
            }
        }
    }

    std::string id_;
    std::string topics_;
    json self_;
    json behaviour_ = json::object();
    std::map<std::string, json> manifests_;
    Mqtt mqtt_;
};

} // namespace

int main(int argc, char** argv)
{
    try {
        auto self = inside(argc, argv);
        return Module{Arguments{argc, argv}, std::move(self)}.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "stand-in %s: %s\n", argc > 0 ? argv[0] : "", error.what());
        return 1;
    }
}
