// SPDX-License-Identifier: Apache-2.0
#include "examples/kit/everest_kit.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>

#include <unistd.h>

namespace everest_kit {

using namespace std::chrono_literals;

namespace {

constexpr int exactly_once = 2; // MQTT's quality of service
constexpr int keepalive_s = 20;
constexpr int most_in_flight = 65535;
constexpr auto look_up_timeout = 5s;
constexpr auto command_timeout = 300s;
constexpr auto longest_wait = 1000ms;

void check(int result, const std::string& what)
{
    if (result != MOSQ_ERR_SUCCESS)
        throw std::runtime_error{what + ": " +
                                 (result == MOSQ_ERR_ERRNO ? std::strerror(errno) : mosquitto_strerror(result))};
}

std::string make_uuid()
{
    std::string uuid;
    std::getline(std::ifstream{"/proc/sys/kernel/random/uuid"}, uuid);
    return uuid;
}

std::string timestamp()
{
    const auto now = std::time(nullptr);
    std::tm utc{};
    ::gmtime_r(&now, &utc);
    std::string text(sizeof "2000-01-01T00:00:00Z", '\0');
    text.resize(std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc));
    return text;
}

} // namespace

// ---- What the manager gives us ----

Arguments::Arguments(int argc, char** argv)
{
    std::map<std::string, std::string> values;
    for (const auto* name : {"--prefix", "--module", "--log_config", "--mqtt_everest_prefix", "--mqtt_external_prefix",
                             "--mqtt_broker_socket_path", "--mqtt_broker_host", "--mqtt_broker_port"})
        values[name];
    for (int i = 1; i < argc; i += 2) {
        const auto option = values.find(argv[i]);
        if (option == values.end() || i + 1 == argc)
            throw std::invalid_argument{std::string{"unknown option, or one without its value: "} + argv[i]};
        option->second = argv[i + 1];
    }
    module_id = values["--module"];
    everest_prefix = values["--mqtt_everest_prefix"];
    socket_path = values["--mqtt_broker_socket_path"];
    host = values["--mqtt_broker_host"];
    if (module_id.empty())
        throw std::invalid_argument{"--module is missing; modules are started by EVerest's manager"};
    if (socket_path.empty() == host.empty())
        throw std::invalid_argument{"give either --mqtt_broker_socket_path or --mqtt_broker_host"};
    if (!host.empty())
        port = std::stoi(values["--mqtt_broker_port"]);
}

Module::Module(const Arguments& arguments) : id_(arguments.module_id), prefix_(arguments.everest_prefix)
{
    connect(arguments);
    request_configuration();
    read_metadata();
    subscribe(prefix_ + "ready");
    subscribe(prefix_ + "shutdown");
    subscribe_to_results();
}

void Module::connect(const Arguments& arguments)
{
    mosquitto_lib_init();
    client_.reset(mosquitto_new(nullptr, true, this));
    if (!client_)
        throw std::runtime_error{std::string{"mosquitto_new: "} + std::strerror(errno)};
    mosquitto_int_option(client_.get(), MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(client_.get(), MOSQ_OPT_TCP_NODELAY, 1);
    // Mosquitto 2.0.11 sends more QoS 2 messages than the default of 20 allows, for which libmosquitto leaves it.
    mosquitto_int_option(client_.get(), MOSQ_OPT_RECEIVE_MAXIMUM, most_in_flight);
    mosquitto_connect_callback_set(
        client_.get(), [](mosquitto*, void* self, int code) { static_cast<Module*>(self)->connected_ = code == 0; });
    mosquitto_message_callback_set(client_.get(), [](mosquitto*, void* self, const mosquitto_message* message) {
        const auto size = static_cast<std::size_t>(message->payloadlen);
        static_cast<Module*>(self)->received_.push_back(
            {message->topic, std::string{static_cast<const char*>(message->payload), size}});
    });
    // Port 0 is libmosquitto's way to say that the host is the path of a Unix socket.
    const auto& address = arguments.socket_path.empty() ? arguments.host : arguments.socket_path;
    check(mosquitto_connect(client_.get(), address.c_str(), arguments.port, keepalive_s),
          "could not connect to the MQTT broker at " + address);
    if (!await([this] { return connected_; }, look_up_timeout))
        throw std::runtime_error{"the MQTT broker at " + address + " does not answer"};
}

void Module::request_configuration()
{
    const auto topic = topic_of(id_, "response");
    subscribe(topic);
    for (int attempt = 0; attempt < 2 && !configuration_responses_.contains(topic); ++attempt) {
        send(prefix_ + "config/request", "ConfigurationRequest",
             {{"type", "Get"}, {"origin", id_}, {"request", {{"type", "Module"}}}});
        await([&] { return configuration_responses_.contains(topic); }, look_up_timeout);
    }
    const auto& response = configuration_responses_[topic];
    if (response.value("status", "no answer") != "Ok")
        throw std::runtime_error{"the manager refused the configuration: " + response.dump()};
    const auto& config = response.at("response").at("data").at("module_config");
    name_ = config.at("module_name").get<std::string>();
    for (const auto& [implementation, list] : config.at("configuration_parameters").items())
        for (const auto& parameter : list)
            parameters_[implementation][parameter.at("name").get<std::string>()] = parameter.at("value");
    for (const auto& [requirement, list] : config.at("connections").items())
        for (const auto& connection : list)
            connections_[requirement].push_back(
                {connection.at("module_id").get<std::string>(), connection.at("implementation_id").get<std::string>()});
}

/// In the order of a module of EVerest, one after the other: that is what the manager keeps retained until all are
/// ready.
void Module::read_metadata()
{
    for (const auto& interface : look_up("interfaces"))
        interfaces_[interface] = look_up("interface_definitions/" + interface.get<std::string>());
    for (const auto& path : look_up("types"))
        look_up("type_definitions" + path.get<std::string>());
    if (look_up("settings").at("validate_schema").get<bool>())
        look_up("schemas");
    module_names_ = look_up("module_names");
    for (const auto& [module_id, name] : module_names_.items())
        manifests_[name] = look_up("manifests/" + name.get<std::string>());
}

Json Module::look_up(const std::string& topic)
{
    const auto whole = prefix_ + topic;
    for (int attempt = 0; attempt < 2; ++attempt) {
        subscribe(whole);
        await([&] { return configuration_responses_.contains(whole); }, look_up_timeout);
        check(mosquitto_unsubscribe(client_.get(), nullptr, whole.c_str()), "unsubscribe from " + whole);
        if (auto found = configuration_responses_.extract(whole))
            return found.mapped();
    }
    throw std::runtime_error{"nothing is retained at " + whole};
}

/// The answers to all that we may call.
void Module::subscribe_to_results()
{
    for (const auto& [requirement, list] : connections_)
        for (const auto& [module_id, implementation] : list) {
            const auto& provides = manifests_.at(module_names_.at(module_id)).at("provides");
            const auto& interface = interfaces_.at(provides.at(implementation).at("interface"));
            for (const auto& [command, definition] : interface.at("cmds").items())
                subscribe(topic_of(module_id, "impl/" + implementation + "/cmd/" + command + "/response/" + id_));
        }
}

// ---- What a module says ----

Json Module::config(const std::string& name, const std::string& implementation) const
{
    if (!parameters_.contains(implementation) || !parameters_[implementation].contains(name))
        throw std::logic_error{"the manifest declares no parameter `" + name + "` of " + implementation};
    return parameters_[implementation][name];
}

void Module::on_command(const std::string& implementation, const std::string& command, CommandHandler handler)
{
    const auto topic = implementation_topic(implementation, "cmds", command, "cmd/" + command);
    command_handlers_[topic] = std::move(handler);
    subscribe(topic);
}

void Module::on_variable(const std::string& requirement, const std::string& variable, const VariableHandler& handler)
{
    for (const auto& [module_id, implementation] : connections(requirement)) {
        const auto topic = topic_of(module_id, "impl/" + implementation + "/var/" + variable);
        variable_handlers_[topic] = handler;
        subscribe(topic);
    }
}

void Module::every(std::chrono::milliseconds interval, Action action)
{
    timers_.push_back({interval, std::move(action), Clock::now() + interval});
}

void Module::publish(const std::string& implementation, const std::string& variable, const Json& value)
{
    send(implementation_topic(implementation, "vars", variable, "var/" + variable), "Var", {{"data", value}});
}

Json Module::call(const std::string& requirement, const std::string& command, const Json& arguments)
{
    const auto uuid = make_uuid();
    const auto& list = connections(requirement);
    if (list.empty())
        throw CommandError{"nothing is connected to `" + requirement + '`'};
    const auto& [module_id, implementation] = list.front();
    send(topic_of(module_id, "impl/" + implementation + "/cmd/" + command), "Cmd",
         {{"id", uuid}, {"args", arguments}, {"origin", id_}});
    const auto what = requirement + '.' + command + ": ";
    if (!await([&] { return stopping_ || results_.contains(uuid); }, command_timeout))
        throw CommandError{what + "no answer from " + module_id};
    const auto result = results_.extract(uuid);
    if (!result)
        throw CommandError{what + "we are shutting down"};
    const auto& answer = result.mapped();
    if (answer.contains("error"))
        throw CommandError{what + answer["error"].value("__everest__error_msg", "failed")};
    return answer.value("retval", Json{});
}

void Module::raise_error(const std::string& implementation, const std::string& type, const std::string& message)
{
    const auto slash = type.find('/');
    const auto topic = implementation_topic(implementation, "errors", type.substr(0, slash), "error/" + type);
    send(topic, "RaiseError",
         {{"type", type},
          {"sub_type", ""},
          {"message", message},
          {"description", message},
          {"severity", "High"},
          {"origin", {{"module_id", id_}, {"implementation_id", implementation}}},
          {"state", "Active"},
          {"timestamp", timestamp()},
          {"uuid", make_uuid()},
          {"vendor_id", "EVerest"}});
}

void Module::log(const std::string& text)
{
    std::fprintf(stderr, "%s\n", text.c_str());
}

// ---- The loop ----

int Module::run()
{
    auto provides = Json::object();
    for (const auto& [implementation, declaration] : manifests_.at(name_).at("provides").items())
        provides[implementation] = {{"interface", declaration.at("interface")}};
    send(topic_of(id_, "metadata"), "ConfigurationResponse", {{"module", name_}, {"provides", provides}});
    send(topic_of(id_, "ready"), "ModuleReady", true);

    while (!ready_ && !stopping_)
        pump(longest_wait);
    if (ready_ && ready_action_)
        ready_action_();
    while (!stopping_) {
        pump(inbox_.empty() ? until_next_timer() : 0ms);
        if (!inbox_.empty()) {
            const auto message = std::move(inbox_.front());
            inbox_.pop_front();
            dispatch(message);
        }
        run_timers();
    }
    if (shutdown_action_)
        shutdown_action_();
    mosquitto_disconnect(client_.get());
    return 0;
}

bool Module::await(const std::function<bool()>& condition, std::chrono::milliseconds limit)
{
    const auto begin = Clock::now();
    while (!condition() && Clock::now() - begin < limit)
        pump(longest_wait);
    return condition();
}

/// One round of the network, at most `longest`; then everything that came is where it is waited for.
void Module::pump(std::chrono::milliseconds longest)
{
    check(mosquitto_loop(client_.get(), static_cast<int>(longest.count()), 1), "the connection to the broker is lost");
    for (; !received_.empty(); received_.pop_front()) {
        const auto& [topic, payload] = received_.front();
        try {
            sort(topic, payload.get_ref<const std::string&>());
        } catch (const Json::exception& error) {
            log("ignored a message on " + topic + ": " + error.what());
        }
    }
}

void Module::sort(const std::string& topic, const std::string& payload)
{
    if (topic == prefix_ + "shutdown") {
        stopping_ = true;
        return;
    }
    auto message = Json::parse(payload);
    const auto type = message.at("msg_type").get<std::string>();
    auto& data = message.at("data");
    if (type == "ConfigurationResponse")
        configuration_responses_[topic] = std::move(data);
    else if (type == "GlobalReady")
        ready_ = ready_ || data == true;
    else if (type == "CmdResult")
        results_[data.at("data").at("id").get<std::string>()] = data.at("data");
    else if (type == "Var" || type == "Cmd")
        inbox_.push_back({topic, std::move(data)});
}

void Module::dispatch(const Message& message)
{
    if (const auto variable = variable_handlers_.find(message.topic); variable != variable_handlers_.end())
        variable->second(message.data.at("data"));
    if (const auto command = command_handlers_.find(message.topic); command != command_handlers_.end())
        answer(message.topic, message.data, command->second);
}

void Module::answer(const std::string& topic, const Json& command, const CommandHandler& handler)
{
    Json result{{"id", command.at("id")}, {"origin", id_}};
    try {
        result["retval"] = handler(command.at("args"));
    } catch (const std::exception& error) {
        result["error"] = {{"__everest__error_type", "HandlerException"}, {"__everest__error_msg", error.what()}};
    }
    send(topic + "/response/" + command.at("origin").get<std::string>(), "CmdResult",
         {{"type", "result"}, {"data", result}});
}

std::chrono::milliseconds Module::until_next_timer() const
{
    auto left = longest_wait;
    for (const auto& timer : timers_)
        left = std::min(left, std::chrono::ceil<std::chrono::milliseconds>(timer.due - Clock::now()));
    return std::max(left, 0ms);
}

void Module::run_timers()
{
    for (auto& timer : timers_)
        if (Clock::now() >= timer.due) {
            timer.action();
            timer.due = Clock::now() + timer.interval;
        }
}

// ---- Topics ----

void Module::subscribe(const std::string& topic)
{
    check(mosquitto_subscribe(client_.get(), nullptr, topic.c_str(), exactly_once), "subscribe to " + topic);
}

void Module::send(const std::string& topic, const char* type, const Json& data)
{
    const auto payload = Json{{"msg_type", type}, {"data", data}}.dump();
    check(mosquitto_publish(client_.get(), nullptr, topic.c_str(), static_cast<int>(payload.size()), payload.data(),
                            exactly_once, false),
          "publish " + topic);
}

const std::vector<Module::Connection>& Module::connections(const std::string& requirement) const
{
    static const std::vector<Connection> none;
    if (!manifests_.at(name_).at("requires").contains(requirement))
        throw std::logic_error{"our manifest requires no `" + requirement + '`'};
    const auto found = connections_.find(requirement);
    return found == connections_.end() ? none : found->second;
}

/// Checks that the interface of `implementation` declares `name` in its `group`.
std::string Module::implementation_topic(const std::string& implementation, const char* group, const std::string& name,
                                         const std::string& rest) const
{
    const auto& provides = manifests_.at(name_).at("provides");
    if (!provides.contains(implementation))
        throw std::logic_error{"our manifest provides no `" + implementation + '`'};
    const auto& interface = provides[implementation].at("interface").get_ref<const std::string&>();
    if (!interfaces_.at(interface).at(group).contains(name))
        throw std::logic_error{"the interface `" + interface + "` has no `" + name + "` among its " + group};
    return topic_of(id_, "impl/" + implementation + '/' + rest);
}

std::string Module::topic_of(const std::string& module_id, const std::string& rest) const
{
    return prefix_ + "modules/" + module_id + '/' + rest;
}

} // namespace everest_kit
