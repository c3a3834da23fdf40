// SPDX-License-Identifier: Apache-2.0
//
// EVerest's bus, on which nobody says who they are: another client of the broker, past the module's own.

#include "tests/attack/attempt.hpp"
#include "tests/integration/mqtt.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace attack {

namespace {

using nlohmann::json;
using standin::Mqtt;
using Clock = std::chrono::steady_clock;

constexpr int often = 2000;
constexpr std::size_t megabyte = 1 << 20;

std::string envelope(const char* type, json data)
{
    return json{{"msg_type", type}, {"data", std::move(data)}}.dump();
}

std::string neighbour(const Context& context)
{
    return context.text("neighbour");
}

/// Sends a request in the name of `origin`; its answer, which everybody may hear.
json ask(const Context& context, const std::string& origin, const char* type, json request)
{
    Mqtt mqtt{context.broker, 0};
    const auto topic = "everest/modules/" + origin + "/response";
    mqtt.subscribe(topic, 2);
    mqtt.flush();
    mqtt.publish(
        "everest/config/request",
        envelope("ConfigurationRequest", {{"type", type}, {"origin", origin}, {"request", std::move(request)}}), 2);
    for (const auto deadline = Clock::now() + std::chrono::seconds(5); Clock::now() < deadline;) {
        mqtt.loop(std::chrono::milliseconds(100));
        for (; !mqtt.inbox.empty(); mqtt.inbox.pop_front())
            if (mqtt.inbox.front().topic == topic)
                return json::parse(mqtt.inbox.front().payload).at("data");
    }
    throw std::runtime_error{"no answer"};
}

json identifier(const Context& context)
{
    return {{"module_id", neighbour(context)}, {"configuration_parameter_name", "label"}};
}

Outcome of_status(const json& answer, bool ok)
{
    const auto status = answer.at("status").get<std::string>();
    return ok ? escaped(status) : refused(0, status);
}

Outcome read_as_ourselves(const Context& context)
{
    const auto answer = ask(context, context.module, "Get", {{"type", "Value"}, {"identifier", identifier(context)}});
    return of_status(answer, answer.at("status") == "Ok");
}

Outcome read_all(const Context& context)
{
    const auto answer = ask(context, context.module, "Get", {{"type", "All"}});
    return of_status(answer, answer.at("response").at("data").contains(neighbour(context)));
}

Outcome read_as_neighbour(const Context& context)
{
    const auto answer = ask(context, neighbour(context), "Get", {{"type", "Module"}});
    return of_status(answer, answer.at("status") == "Ok");
}

Outcome set(const Context& context, const std::string& origin)
{
    const auto answer = ask(context, origin, "Set", {{"identifier", identifier(context)}, {"value", "owned"}});
    const auto& response = answer.at("response");
    return of_status(answer, !response.is_object() || response.at("status") != "Rejected");
}

Outcome set_as_ourselves(const Context& context)
{
    return set(context, context.module);
}

Outcome set_as_neighbour(const Context& context)
{
    return set(context, neighbour(context));
}

Outcome ask_as_nobody(const Context& context)
{
    const auto answer = ask(context, "nobody", "Get", {{"type", "All"}});
    return of_status(answer, answer.at("status") == "Ok");
}

Outcome publish(const Context& context, const std::string& topic, const std::string& payload, int count = 1,
                bool retain = false)
{
    Mqtt mqtt{context.broker, 0};
    for (int i = 0; i < count; ++i)
        mqtt.publish(topic, payload, 1, retain);
    mqtt.disconnect();
    return {Verdict::outside, 0, std::to_string(count)};
}

std::string ready_topic(const std::string& module)
{
    return "everest/modules/" + module + "/ready";
}

Outcome ready_of_neighbour(const Context& context)
{
    return publish(context, ready_topic(neighbour(context)), envelope("ModuleReady", true), often);
}

Outcome ready_of_nobody(const Context& context)
{
    return publish(context, ready_topic("../../launcher"), envelope("ModuleReady", true), often);
}

Outcome flood_of_requests(const Context& context)
{
    return publish(
        context, "everest/config/request",
        envelope("ConfigurationRequest", {{"type", "Get"}, {"origin", context.module}, {"request", {{"type", "All"}}}}),
        often);
}

Outcome large_payload(const Context& context)
{
    return publish(context, "everest/config/request",
                   envelope("ConfigurationRequest", {{"origin", std::string(megabyte, 'x')}}), 4);
}

Outcome deep_payload(const Context& context)
{
    return publish(context, "everest/config/request", std::string(megabyte, '['), 4);
}

/// The longest that MQTT can say.
Outcome long_topic(const Context& context)
{
    constexpr std::size_t longest = 65535;
    auto topic = std::string{"everest/modules/"};
    topic.append(longest - topic.size() - 6, 'x').append("/ready");
    publish(context, topic, envelope("ModuleReady", true));
    return publish(context, "everest/" + std::string(longest - 8, 'x'), "");
}

/// A topic of a megabyte cannot be said in MQTT; a packet that claims so much and stops is the nearest.
Outcome broken_packets(const Context& context)
{
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    context.broker.copy(&address.sun_path[0], sizeof address.sun_path - 1);
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return judge(-1);
    constexpr std::string_view connect{"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x", 15};
    constexpr std::string_view publish{"\x30\xff\xff\xff\x7f\xff\xff", 7};
    for (const auto packet : {connect, publish})
        if (::write(socket, packet.data(), packet.size()) < 0)
            return judge(-1);
    return {Verdict::outside, 0, ""};
}

Outcome announce(const Context& context)
{
    return publish(context, "everest/ready", envelope("GlobalReady", true), 100);
}

/// Left to the next start.
Outcome retained(const Context& context)
{
    publish(context, ready_topic("late"), envelope("ModuleReady", true), 1, true);
    publish(context, "everest/manifests/Evil", envelope("ConfigurationResponse", json::object()), 1, true);
    publish(context, "everest/module_names", envelope("ConfigurationResponse", {{"evil", "Evil"}}), 1, true);
    return publish(context, "everest/interfaces", "{", 1, true);
}

Outcome shut_down_neighbours(const Context& context)
{
    return publish(context, "everest/shutdown", "true");
}

Outcome ready_for_late(const Context& context)
{
    return publish(context, ready_topic("late"), envelope("ModuleReady", true));
}

constexpr std::array table{
    Attempt{"bus", "read a parameter of another", "read another's configuration", read_as_ourselves},
    Attempt{"bus", "read all parameters", "read another's configuration", read_all},
    Attempt{"bus", "read in another's name", "read another's configuration", read_as_neighbour},
    Attempt{"bus", "read in nobody's name", "read another's configuration", ask_as_nobody},
    Attempt{"bus", "set a parameter of another", "configure another", set_as_ourselves},
    Attempt{"bus", "set in another's name", "configure another", set_as_neighbour},
    Attempt{"bus", "flood: ready of a neighbour", "disturb anybody", ready_of_neighbour},
    Attempt{"bus", "flood: ready of ../../launcher", "disturb the manager", ready_of_nobody},
    Attempt{"bus", "flood: configuration requests", "disturb the manager", flood_of_requests},
    Attempt{"bus", "flood: all are ready", "disturb anybody", announce},
    Attempt{"bus", "payloads of 1 MB", "disturb the manager", large_payload},
    Attempt{"bus", "a million brackets", "end the manager", deep_payload},
    Attempt{"bus", "topics of 65,535 bytes", "end the manager", long_topic},
    Attempt{"bus", "packets that break off", "end the broker", broken_packets},
    Attempt{"bus only", "retained metadata and ready", "mislead the next start", retained},
    Attempt{"bus only", "ready of a module that is not", "mislead the manager", ready_for_late},
    Attempt{"bus only", "shutdown", "stop another", shut_down_neighbours},
};

} // namespace

std::span<const Attempt> bus()
{
    return table;
}

} // namespace attack
