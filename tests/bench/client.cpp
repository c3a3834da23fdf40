// SPDX-License-Identifier: Apache-2.0
//
// The bench's own client.
//     client record SOCKET FILTER             every message to standard output, each text after its length (32 bits)
//     client ask SOCKET PREFIX ROUNDS PAUSE_MS ID…   in every round all ids ask for their configuration at once; the
//                                             microseconds until each was answered, a line each
// `record` says READY on standard error once it is subscribed.

#include "tests/bench/mqtt.hpp"

#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include <poll.h>

namespace {

using namespace bench;
using Clock = std::chrono::steady_clock;

void write_text(const std::string& text)
{
    const auto size = static_cast<std::uint32_t>(text.size());
    std::fwrite(&size, sizeof size, 1, stdout);
    std::fwrite(text.data(), text.size(), 1, stdout);
}

void record(const char* socket, const char* filter)
{
    Client client{socket};
    client.subscribe(filter, 0);
    client.read(); // the acknowledgement; what is retained may come with it
    std::fputs("READY\n", stderr);
    for (Message message; client.receive(message);) {
        write_text(message.topic);
        write_text(message.payload);
        std::fflush(stdout);
    }
}

struct Asker
{
    std::string request;
    std::unique_ptr<Client> client;
    bool answered = false;
};

void ask_round(std::vector<Asker>& askers, const std::string& topic)
{
    std::vector<pollfd> polled;
    for (const auto& asker : askers)
        polled.push_back({asker.client->descriptor(), POLLIN, 0});
    std::vector<Clock::time_point> asked;
    for (auto& asker : askers) {
        asker.answered = false;
        asker.client->inbox.clear();
        asker.client->publish(topic, asker.request);
        asked.push_back(Clock::now());
        asker.client->flush();
    }
    constexpr int longest_ms = 10000;
    for (auto left = askers.size(); left > 0;) {
        if (::poll(polled.data(), polled.size(), longest_ms) == 0)
            throw std::runtime_error{std::to_string(left) + " requests were not answered within 10 s"};
        for (std::size_t i = 0; i < askers.size(); ++i) {
            if (polled[i].revents == 0)
                continue;
            askers[i].client->read(false);
            if (askers[i].answered || askers[i].client->inbox.empty())
                continue;
            askers[i].answered = true;
            --left;
            std::printf("%lld\n",
                        static_cast<long long>(
                            std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - asked[i]).count()));
        }
    }
}

void ask(const char* socket, const std::string& prefix, int rounds, int pause_ms, char** ids)
{
    std::vector<Asker> askers;
    for (; *ids != nullptr; ++ids) {
        const std::string id = *ids;
        auto& asker = askers.emplace_back();
        asker.client = std::make_unique<Client>(socket);
        asker.client->subscribe(prefix + "modules/" + id + "/response");
        asker.client->read();
        asker.request = R"({"data":{"origin":")" + id +
                        R"(","request":{"type":"Module"},"type":"Get"},"msg_type":"ConfigurationRequest"})";
    }
    for (int round = 0; round < rounds; ++round) {
        ask_round(askers, prefix + "config/request");
        std::fflush(stdout);
        std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    }
}

} // namespace

int main(int argc, char** argv)
{
    try {
        const std::string what = argc > 1 ? argv[1] : "";
        if (what == "record" && argc == 4)
            record(argv[2], argv[3]);
        else if (what == "ask" && argc > 6)
            ask(argv[2], argv[3], std::stoi(argv[4]), std::stoi(argv[5]), argv + 6);
        else
            throw std::runtime_error{"see the first lines of client.cpp"};
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "client: %s\n", error.what());
        return 1;
    }
}
