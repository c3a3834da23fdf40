// SPDX-License-Identifier: Apache-2.0
//
// Plays any EVerest module as cheaply as it can be done: the start-up protocol in full, every look-up for itself, one
// after the other, as a real one. Statically linked, and it parses no more JSON than it needs, so that the figures are
// of who starts it. Where PREFIX/bench-marks exists, it appends a line: its id, its pid, CLOCK_MONOTONIC in ns at
// main().
// `--exit`: ends at once, for the spawn rate.

#include "tests/bench/mqtt.hpp"

#include <cstdio>
#include <cstring>
#include <map>
#include <vector>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

namespace {

using namespace bench;

/// The strings in a flat JSON array or object, keys included. Names in EVerest need no escapes.
std::vector<std::string> strings_in(std::string_view json)
{
    std::vector<std::string> result;
    for (auto begin = json.find('"'); begin != std::string_view::npos;) {
        const auto end = json.find('"', begin + 1);
        if (end == std::string_view::npos)
            throw std::runtime_error{"a string does not end"};
        result.emplace_back(json.substr(begin + 1, end - begin - 1));
        begin = json.find('"', end + 1);
    }
    return result;
}

/// What follows `"data":` in a message of the type, in either order of the two.
std::string_view data_of(std::string_view message, std::string_view type)
{
    const auto mark = "\"msg_type\":\"" + std::string{type} + '"';
    constexpr std::string_view data = "\"data\":";
    const auto begin = message.find(data);
    if (message.find(mark) == std::string_view::npos || begin == std::string_view::npos)
        throw std::runtime_error{"not a " + std::string{type} + ": " + std::string{message.substr(0, 200)}};
    message.remove_prefix(begin + data.size());
    return message.substr(0, message.rfind(",\"msg_type\""));
}

class Module
{
public:
    Module(std::string id, std::string name, std::string topics, const std::string& socket)
        : id_(std::move(id)), name_(std::move(name)), topics_(std::move(topics)), client_(socket)
    {}

    int run()
    {
        request_configuration();
        read_metadata();
        client_.subscribe(topics_ + "ready");
        client_.subscribe(topics_ + "shutdown");
        client_.publish(topics_ + "modules/" + id_ + "/metadata",
                        R"({"data":{"module":")" + name_ + R"(","provides":{}},"msg_type":"ConfigurationResponse"})");
        client_.publish(topics_ + "modules/" + id_ + "/ready", R"({"data":true,"msg_type":"ModuleReady"})");
        for (Message message;;)
            if (client_.receive(message) && message.topic == topics_ + "shutdown") {
                client_.disconnect();
                return 0;
            }
    }

private:
    std::string next(const std::string& topic)
    {
        for (Message message;;)
            if (client_.receive(message) && message.topic == topic)
                return std::move(message.payload);
    }

    void request_configuration()
    {
        const auto topic = topics_ + "modules/" + id_ + "/response";
        client_.subscribe(topic);
        client_.publish(topics_ + "config/request", R"({"data":{"origin":")" + id_ +
                                                        R"(","request":{"type":"Module"},"type":"Get"},)" +
                                                        R"("msg_type":"ConfigurationRequest"})");
        if (const auto answer = next(topic); answer.find(R"("status":"Ok")") == std::string::npos)
            throw std::runtime_error{"refused: " + answer};
    }

    std::string look_up(const std::string& name)
    {
        const auto topic = topics_ + name;
        client_.subscribe(topic);
        auto message = next(topic);
        client_.unsubscribe(topic);
        return std::string{data_of(message, "ConfigurationResponse")};
    }

    void read_metadata()
    {
        for (const auto& name : strings_in(look_up("interfaces")))
            look_up("interface_definitions/" + name);
        for (const auto& path : strings_in(look_up("types")))
            look_up("type_definitions" + path);
        if (look_up("settings").find("\"validate_schema\":true") != std::string::npos)
            look_up("schemas");
        const auto names = strings_in(look_up("module_names"));
        for (std::size_t i = 1; i < names.size(); i += 2)
            look_up("manifests/" + names[i]);
    }

    std::string id_, name_, topics_;
    Client client_;
};

void mark(const std::string& prefix, const std::string& id)
{
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const int file = ::open((prefix + "/bench-marks").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (file < 0)
        return; // nobody wants to know
    ::dprintf(file, "%s %d %lld\n", id.c_str(), ::getpid(), now.tv_sec * 1'000'000'000LL + now.tv_nsec);
    ::close(file);
}

} // namespace

int main(int argc, char** argv)
{
    if (argc == 2 && std::strcmp(argv[1], "--exit") == 0)
        return 0;
    try {
        std::map<std::string, std::string> given;
        for (int i = 1; i + 1 < argc; i += 2)
            given[argv[i]] = argv[i + 1];
        const auto& id = given.at("--module");
        mark(given.at("--prefix"), id);
        const std::string self = argv[0];
        return Module{id, self.substr(self.find(':') + 1), given.at("--mqtt_everest_prefix"),
                      given.at("--mqtt_broker_socket_path")}
            .run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "stand-in %s: %s\n", argv[0], error.what());
        return 1;
    }
}
