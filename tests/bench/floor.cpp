// SPDX-License-Identifier: Apache-2.0
//
// What the protocol itself demands: publishes recorded metadata, answers with recorded answers, starts the modules by
// vfork(2) and exec, and says READY on standard output when all are. It reads no configuration, drops no privilege and
// supervises nothing: a SIGTERM to its process group ends it and the modules.
//     floor SOCKET TOPIC_PREFIX RECORDING
// RECORDING, as tests/bench/run writes it, is texts, each after its length (32 bits): how many retained topics, then
// each with its payload; how many modules, then of each its id, the answer, how many arguments, the program and they.

#include "tests/bench/mqtt.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <utility>
#include <vector>

#include <unistd.h>

namespace {

using namespace bench;

class Recording
{
public:
    explicit Recording(const char* path) : file_(path, std::ios::binary) {}

    std::string text()
    {
        std::uint32_t size = 0;
        file_.read(reinterpret_cast<char*>(&size), sizeof size);
        std::string result(size, '\0');
        if (!file_.read(result.data(), size))
            throw std::runtime_error{"the recording is too short"};
        return result;
    }

    std::size_t number() { return std::stoul(text()); }

private:
    std::ifstream file_;
};

struct Module
{
    std::string answer, program;
    std::vector<std::string> arguments;
};

class Floor
{
public:
    Floor(const char* socket, std::string prefix, const char* recording) : prefix_(std::move(prefix)), client_(socket)
    {
        Recording file{recording};
        for (auto left = file.number(); left > 0; --left) {
            auto topic = file.text();
            metadata_.emplace_back(std::move(topic), file.text());
        }
        for (auto left = file.number(); left > 0; --left) {
            auto& module = modules_[file.text()];
            module.answer = file.text();
            auto arguments = file.number();
            module.program = file.text();
            for (; arguments > 0; --arguments)
                module.arguments.push_back(file.text());
        }
    }

    [[noreturn]] void run()
    {
        client_.subscribe(prefix_ + "config/request");
        for (const auto& [id, module] : modules_)
            client_.subscribe(prefix_ + "modules/" + id + "/ready");
        for (const auto& [topic, payload] : metadata_)
            client_.publish(topic, payload, 2, true);
        client_.flush();
        for (auto& [id, module] : modules_)
            start(module);
        for (Message message;;)
            if (client_.receive(message))
                handle(message);
    }

private:
    static void start(Module& module)
    {
        std::vector<char*> arguments;
        for (auto& argument : module.arguments)
            arguments.push_back(argument.data());
        arguments.push_back(nullptr);
        const pid_t pid = ::vfork();
        if (pid == 0) {
            ::execv(module.program.c_str(), arguments.data());
            ::_exit(127);
        }
        if (pid < 0)
            throw std::runtime_error{std::string{"vfork: "} + std::strerror(errno)};
    }

    void handle(const Message& message)
    {
        if (message.topic == prefix_ + "config/request")
            asked_.push_back(between(message.payload, R"("origin":")", "\""));
        else if (++ready_ == modules_.size())
            announce();
        // What a module reads next must be there.
        while (!asked_.empty() && !client_.settled() && !published_)
            client_.read();
        published_ = published_ || client_.settled();
        for (const auto& id : std::exchange(asked_, {}))
            client_.publish(prefix_ + "modules/" + id + "/response", modules_.at(id).answer);
    }

    void announce()
    {
        for (const auto& [topic, payload] : metadata_)
            client_.publish(topic, {}, 0, true);
        client_.publish(prefix_ + "ready", R"({"data":true,"msg_type":"GlobalReady"})");
        client_.flush();
        std::puts("READY");
        std::fflush(stdout);
    }

    static std::string between(const std::string& text, std::string_view before, std::string_view after)
    {
        const auto begin = text.find(before) + before.size();
        return text.substr(begin, text.find(after, begin) - begin);
    }

    std::string prefix_;
    Client client_;
    std::vector<std::pair<std::string, std::string>> metadata_;
    std::map<std::string, Module> modules_;
    std::vector<std::string> asked_;
    std::size_t ready_ = 0;
    bool published_ = false;
};

} // namespace

int main(int argc, char** argv)
{
    try {
        if (argc != 4)
            throw std::runtime_error{"usage: floor SOCKET TOPIC_PREFIX RECORDING"};
        Floor{argv[1], argv[2], argv[3]}.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "floor: %s\n", error.what());
        return 1;
    }
}
