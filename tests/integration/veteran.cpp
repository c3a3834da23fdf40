// SPDX-License-Identifier: Apache-2.0
//
// Plays a module of any release since 2024.11, as strictly as the release itself: it reads what that one reads, in its
// order, demands the members that its parsers demand, and ends with exit code 1 on a message type that it does not
// know. It shares no code with the manager. <prefix>/share/everest/frameworks.json says which version of
// everest-framework to be: {"<id>": "0.19", "*": "0.22"}; 0.19, 0.20, 0.21, 0.22, 0.25 or 2026. It reports the values
// of its parameters on the topic standin/<id>/report after the global ready.

#include "tests/integration/mqtt.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <fstream>
#include <map>
#include <optional>
#include <set>

namespace {

using namespace standin;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

/// Names and values, of all implementations.
using Parameters = std::map<std::string, json>;

void demand(bool condition, const std::string& what)
{
    if (!condition)
        throw std::runtime_error{what};
}

class Module
{
public:
    explicit Module(const std::map<std::string, std::string>& arguments)
        : id_(arguments.at("--module")),
          prefix_(arguments.at("--mqtt_everest_prefix")),
          version_(version_of(arguments.at("--prefix"))),
          mqtt_(connect(arguments))
    {
        const std::set<std::string> common{"Var",        "Cmd",       "CmdResult",   "ExternalMQTT", "RaiseError",
                                           "ClearError", "Heartbeat", "ModuleReady", "GlobalReady"};
        if (enveloped())
            known_types_ = common;
        if (version_ == "0.25")
            known_types_.merge(std::set<std::string>{"GetConfig", "GetConfigResponse"});
        if (version_ == "2026")
            known_types_.merge(std::set<std::string>{"ConfigurationRequest", "ConfigurationResponse"});
    }

    int run()
    {
        auto configuration = request();
        read_retained(configuration);
        const auto parameters = version_ < "0.21" ? parse_entry(configuration) : parse(configuration);
        mqtt_.subscribe(prefix_ + "ready", 2);
        if (version_ == "2026")
            mqtt_.subscribe(prefix_ + "shutdown", 2);
        publish("modules/" + id_ + "/ready", "ModuleReady", true);
        return serve(parameters);
    }

private:
    [[nodiscard]] std::string version_of(const std::string& prefix) const
    {
        std::ifstream file{prefix + "/share/everest/frameworks.json"};
        const auto all = json::parse(file);
        return all.value(id_, all.value("*", "2026"));
    }

    [[nodiscard]] Mqtt connect(const std::map<std::string, std::string>& arguments) const
    {
        const int protocol = version_ == "2026" ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311;
        const auto socket = arguments.find("--mqtt_broker_socket_path");
        return socket != arguments.end()
                   ? Mqtt{socket->second, 0, protocol}
                   : Mqtt{arguments.at("--mqtt_broker_host"), std::stoi(arguments.at("--mqtt_broker_port")), protocol};
    }

    [[nodiscard]] bool enveloped() const { return version_ == "0.25" || version_ == "2026"; }
    [[nodiscard]] std::string answer_type() const
    {
        return version_ == "2026" ? "ConfigurationResponse" : "GetConfigResponse";
    }

    void publish(const std::string& topic, const char* type, const json& data)
    {
        mqtt_.publish(prefix_ + topic, (enveloped() ? json{{"msg_type", type}, {"data", data}} : data).dump(), 2);
    }

    /// The type, and the data; a type that is not known ends the real process, too.
    [[nodiscard]] std::pair<std::string, json> open(const json& message) const
    {
        if (!enveloped() || !message.is_object() || !message.contains("msg_type"))
            return {"", message};
        const auto type = message["msg_type"].get<std::string>();
        demand(known_types_.contains(type), "unknown message type " + type);
        return {type, message.at("data")};
    }

    /// The next answer on `topic`; up to 0.24, that is whatever comes.
    std::optional<json> receive(const std::string& topic, std::chrono::seconds patience)
    {
        for (const auto deadline = Clock::now() + patience; Clock::now() < deadline;) {
            mqtt_.loop(std::chrono::milliseconds(100));
            for (; !mqtt_.inbox.empty(); mqtt_.inbox.pop_front()) {
                const auto message = json::parse(mqtt_.inbox.front().payload, nullptr, false);
                if (message.is_discarded())
                    continue;
                const auto [type, data] = open(message);
                if (mqtt_.inbox.front().topic == topic && (!enveloped() || type == answer_type()))
                    return data;
            }
        }
        return std::nullopt;
    }

    json request()
    {
        const bool own_topic = version_ < "0.22";
        const auto topic = prefix_ + "modules/" + id_ + (own_topic ? "/config" : "/response");
        mqtt_.subscribe(topic, 2);
        if (own_topic)
            publish("modules/" + id_ + "/get_config", "", {{"type", "full"}});
        else
            publish("config/request", version_ == "2026" ? "ConfigurationRequest" : "GetConfig",
                    {{"type", "Get"}, {"origin", id_}, {"request", {{"type", "Module"}}}});
        const auto answer = receive(topic, std::chrono::seconds{5});
        demand(answer.has_value(), "Timeout while waiting for result of get_config of " + id_);
        mqtt_.unsubscribe(topic);
        if (own_topic)
            return *answer;
        demand(answer->at("status") == "Ok" && answer->at("status_info").is_string() && answer->at("type") == "Get",
               "no configuration: " + answer->dump());
        demand(answer->at("response").at("type") == "Module", "another answer");
        return answer->at("response").at("data");
    }

    json get(const std::string& topic)
    {
        mqtt_.subscribe(prefix_ + topic, 2);
        auto data = receive(prefix_ + topic, std::chrono::seconds{5});
        mqtt_.unsubscribe(prefix_ + topic);
        demand(data.has_value(), "Timeout while waiting for result of get(" + topic + ")");
        return *data;
    }

    void read_retained(json& result)
    {
        const bool early = version_ < "0.21";
        for (const auto& name : get("interfaces"))
            result["interface_definitions"][name.get<std::string>()] =
                get("interface_definitions/" + name.get<std::string>());
        for (const auto& path : get("types"))
            result["types"][path.get<std::string>()] = get("type_definitions" + path.get<std::string>());
        if (early)
            result["module_provides"] = get("module_provides");
        result["settings"] = get("settings");
        if (early || result["settings"].at("validate_schema").get<bool>())
            for (const auto* name : {"config", "manifest", "interface", "type", "error_declaration_list"})
                demand(get("schemas").contains(name), std::string{"no schema "} + name);
        if (version_ != "0.19")
            result["module_names"] = get("module_names");
        if (version_ == "0.19")
            result["manifests"] = get("manifests");
        else
            for (const auto& name : result["module_names"])
                result["manifests"][name.get<std::string>()] = get("manifests/" + name.get<std::string>());
        if (early) {
            result["error_map"] = get("error_types_map");
            result["module_config_cache"] = get("module_config_cache");
        }
        check(result["settings"]);
    }

    void check(const json& settings) const
    {
        for (const auto* name : {"prefix", "etc_dir", "data_dir", "modules_dir", "telemetry_prefix"})
            (void)settings.at(name).get<std::string>();
        (void)settings.at("telemetry_enabled").get<bool>();
        if (version_ >= "0.22")
            (void)settings.at("forward_exceptions").get<bool>();
    }

    /// What all parsers look at beside the module's own configuration.
    void check_rest(const json& all, const std::string& name) const
    {
        const auto& manifest = all.at("manifests").at(name);
        (void)manifest.at("enable_global_errors").get<bool>();
        (void)manifest.at("metadata").at("license").get<std::string>();
        for (const auto& [id, requirement] : manifest.at("requires").items())
            demand(requirement.at("min_connections").is_number_integer() &&
                       requirement.at("max_connections").is_number_integer(),
                   id);
        for (const auto& [module, other] : all.at("module_names").items())
            for (const auto& [id, implementation] : all.at("manifests").at(other).at("provides").items()) {
                const auto& interface =
                    all.at("interface_definitions").at(implementation.at("interface").get<std::string>());
                demand(interface.at("cmds").is_object() && interface.at("errors").is_object(), module + " " + id);
            }
        for (const auto& [id, mapping] : all.at("mappings").items()) {
            if (mapping.is_object() && mapping.contains("module"))
                (void)mapping.at("module").at("evse").get<int>();
            demand(version_ >= "0.21" || !mapping.is_null(), "the mapping of " + id);
        }
    }

    /// 0.19 and 0.20: Config's constructor, get_module_configs(), resolve_requirement().
    Parameters parse_entry(const json& all) const
    {
        const auto& entry = all.at("module_config").at(id_);
        const auto name = entry.at("module").get<std::string>();
        (void)all.at("error_map").get<std::map<std::string, std::string>>();
        const auto& cache = all.at("module_config_cache").at(name);
        for (const auto& [id, interface] : all.at("module_provides").at(name).items())
            demand(cache.at("cmds").at(id).is_object() && !cache.at("provides_impl").empty(), interface);
        for (const auto& [requirement, list] : entry.at("connections").items())
            (void)list.at(0).at("module_id").get<std::string>();
        check_rest(all, name);
        Parameters result;
        const auto& manifest = all.at("manifests").at(name);
        for (const auto& [implementation, parameters] : entry.at("config_maps").items())
            for (const auto& [parameter, value] : parameters.items()) {
                const auto key = implementation + "." + parameter;
                if (version_ == "0.19") { // the type is the manifest's
                    const auto& schema = implementation == "!module"
                                             ? manifest.at("config")
                                             : manifest.at("provides").at(implementation).at("config");
                    (void)schema.at(parameter).at("type").get<std::string>();
                    result[key] = value;
                } else {
                    (void)value.at("type").get<std::string>();
                    result[key] = value.at("value");
                }
                demand(result[key].is_primitive() && !result[key].is_null(), "the type of " + key);
            }
        return result;
    }

    /// Since 0.21: ModuleConfig's from_json().
    Parameters parse(const json& all) const
    {
        const auto& module = all.at("module_config");
        (void)module.at("standalone").get<bool>();
        demand(module.at("module_id") == id_, "another module's configuration");
        if (module.contains("capabilities"))
            demand(version_ == "2026" ? module["capabilities"].is_array() : module["capabilities"].is_string(),
                   "type must be string, but is array: capabilities");
        (void)module.at("telemetry_enabled").get<bool>();
        for (const auto& [requirement, list] : module.at("connections").items())
            for (const auto& connection : list)
                demand(connection.at("module_id").is_string() && connection.at("implementation_id").is_string() &&
                           connection.at("requirement").at("id") == requirement,
                       requirement);
        (void)module.at("mapping");
        check_rest(all, module.at("module_name").get<std::string>());
        Parameters result;
        for (const auto& [implementation, parameters] : module.at("configuration_parameters").items())
            for (const auto& parameter : parameters) {
                const auto& characteristics = parameter.at("characteristics");
                (void)characteristics.at("mutability").get<std::string>();
                (void)characteristics.at("datatype").get<std::string>();
                result[implementation + "." + parameter.at("name").get<std::string>()] = parameter.at("value");
            }
        return result;
    }

    int serve(const Parameters& parameters)
    {
        for (;;) {
            mqtt_.loop(std::chrono::seconds(1));
            for (; !mqtt_.inbox.empty(); mqtt_.inbox.pop_front()) {
                const auto message = json::parse(mqtt_.inbox.front().payload, nullptr, false);
                if (message.is_discarded())
                    continue;
                const auto [type, data] = open(message);
                if (mqtt_.inbox.front().topic == prefix_ + "shutdown") {
                    mqtt_.disconnect();
                    return 0;
                }
                if (mqtt_.inbox.front().topic != prefix_ + "ready")
                    continue;
                demand(data == json(true) && type == (enveloped() ? "GlobalReady" : ""),
                       "no global ready: " + message.dump());
                mqtt_.publish("standin/" + id_ + "/report",
                              json{{"phase", "ready"}, {"framework", version_}, {"parameters", parameters}}.dump(), 2);
            }
        }
    }

    std::string id_, prefix_, version_;
    Mqtt mqtt_;
    std::set<std::string> known_types_;
};

} // namespace

int main(int argc, char** argv)
{
    try {
        std::map<std::string, std::string> arguments;
        for (int i = 1; i + 1 < argc; i += 2)
            arguments[argv[i]] = argv[i + 1];
        return Module{arguments}.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "veteran %s: %s\n", argc > 0 ? argv[0] : "", error.what());
        return 1;
    }
}
