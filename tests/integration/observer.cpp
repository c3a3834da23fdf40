// SPDX-License-Identifier: Apache-2.0
//
//     observer HOST PORT [--retain-as-published | --in-order]        PORT 0: HOST is a socket path
//
// With --in-order, every message comes with QoS 0, and so in the broker's order: otherwise one with QoS 0 overtakes the
// handshake of one with QoS 2.
//
// Writes every message of the broker to standard output, one JSON object a line. Reads commands from standard input,
// one JSON object a line: {"topic": …, "payload": … or "file": …, "qos": …, "retain": …}. Ends with its input.

#include "tests/integration/mqtt.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <mqtt_protocol.h>
#include <string_view>

#include <poll.h>
#include <unistd.h>

namespace {

using nlohmann::json;
using standin::Mqtt;

void print(const standin::Message& message)
{
    const json line{
        {"topic", message.topic}, {"payload", message.payload}, {"qos", message.qos}, {"retain", message.retain}};
    std::printf("%s\n", line.dump(-1, ' ', true, json::error_handler_t::replace).c_str());
    std::fflush(stdout);
}

void obey(Mqtt& mqtt, const std::string& line)
{
    const auto command = json::parse(line);
    auto payload = command.value("payload", "");
    if (command.contains("file")) {
        std::ifstream file{command["file"].get<std::string>(), std::ios::binary};
        payload.assign(std::istreambuf_iterator<char>{file}, {});
    }
    mqtt.publish(command["topic"].get<std::string>(), payload, command.value("qos", 2), command.value("retain", false));
}

/// False at the end of standard input.
bool read_commands(Mqtt& mqtt, std::string& pending)
{
    std::array<char, 65536> buffer{};
    const auto count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (count <= 0)
        return false;
    pending.append(buffer.data(), static_cast<std::size_t>(count));
    for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
        obey(mqtt, pending.substr(0, end));
        pending.erase(0, end + 1);
    }
    return true;
}

void observe(Mqtt& mqtt, std::string_view option)
{
    mqtt.subscribe("#", option == "--in-order" ? 0 : 2,
                   option == "--retain-as-published" ? MQTT_SUB_OPT_RETAIN_AS_PUBLISHED : 0);
    mqtt.flush();
    std::puts("{\"observing\": true}");
    std::fflush(stdout);
    std::string pending;
    for (;;) {
        for (; !mqtt.inbox.empty(); mqtt.inbox.pop_front())
            print(mqtt.inbox.front());
        const short wanted = mqtt.wants_write() ? POLLIN | POLLOUT : POLLIN;
        std::array<pollfd, 2> polled{pollfd{mqtt.socket(), wanted, 0}, pollfd{STDIN_FILENO, POLLIN, 0}};
        constexpr int keepalive_ms = 1000;
        ::poll(polled.data(), polled.size(), keepalive_ms);
        if (polled[1].revents != 0 && !read_commands(mqtt, pending))
            return mqtt.disconnect();
        mqtt.loop(std::chrono::milliseconds(0));
    }
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 3)
        return 2;
    try {
        Mqtt mqtt{argv[1], std::atoi(argv[2])};
        observe(mqtt, argc > 3 ? argv[3] : "");
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "observer: %s\n", error.what());
        return 1;
    }
}
