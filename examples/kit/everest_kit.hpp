// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mosquitto.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

/// The smallest library with which a C++ program is a module of EVerest. A module is a class that is constructed with
/// a Module, says what it wants to hear of, and is told:
///
///     class Lamp
///     {
///     public:
///         explicit Lamp(everest_kit::Module& module)
///         {
///             module.on_command("main", "switch", [&](const auto& arguments) {
///                 module.publish("main", "lit", arguments.at("on"));
///                 return nullptr;
///             });
///         }
///     };
///
///     int main(int argc, char** argv)
///     {
///         return everest_kit::run<Lamp>(argc, argv);
///     }
///
/// Everything happens in one thread: no handler runs while another does, and nothing needs a lock. Whatever arrives
/// during call() waits until its caller has returned; so two modules must not call each other from their handlers.
namespace everest_kit {

using Json = nlohmann::json;

/// A command that failed: the other module's handler threw, did not answer, or it is stopping.
class CommandError : public std::runtime_error
{
public:
    using std::runtime_error::runtime_error;
};

/// Where the broker is and who we are: the command line of a native module. Throws std::invalid_argument for anything
/// that a module of EVerest would refuse.
struct Arguments
{
    Arguments(int argc, char** argv);

    std::string module_id, everest_prefix, socket_path, host;
    int port = 0;
};

/// One module's place in the charger. The constructor returns when the manager has sent the configuration and
/// everything that a module reads before it begins; std::runtime_error if that does not come.
class Module
{
public:
    using CommandHandler = std::function<Json(const Json& arguments)>;
    using VariableHandler = std::function<void(const Json& value)>;
    using Action = std::function<void()>;

    explicit Module(const Arguments& arguments);

    [[nodiscard]] const std::string& id() const { return id_; }

    /// A parameter of the module, or of one of its implementations, as the manifest declares it.
    [[nodiscard]] Json config(const std::string& name, const std::string& implementation = "!module") const;

    /// Names that are not in our manifest and interfaces are std::logic_error.
    void on_command(const std::string& implementation, const std::string& command, CommandHandler handler);
    void on_variable(const std::string& requirement, const std::string& variable, const VariableHandler& handler);
    /// All modules are there: the time to call them has come.
    void on_ready(Action action) { ready_action_ = std::move(action); }
    void on_shutdown(Action action) { shutdown_action_ = std::move(action); }
    /// From the global ready on.
    void every(std::chrono::milliseconds interval, Action action);

    void publish(const std::string& implementation, const std::string& variable, const Json& value);
    /// The result; CommandError if there is none within EVerest's 300 s. Of several connections, the first.
    Json call(const std::string& requirement, const std::string& command, const Json& arguments = Json::object());
    /// `type` as in "generic/CommunicationFault", one of those the implementation's interface refers to.
    void raise_error(const std::string& implementation, const std::string& type, const std::string& message);

    /// One line of the log; the manager writes our id in front.
    static void log(const std::string& text);

    /// Tells the manager that we are ready, then handles what comes. Returns 0 when we are asked to shut down; a
    /// broker that is lost is a std::runtime_error.
    int run();

private:
    using Clock = std::chrono::steady_clock;

    struct Message
    {
        std::string topic;
        Json data;
    };
    struct Connection
    {
        std::string module_id, implementation;
    };
    struct Timer
    {
        std::chrono::milliseconds interval;
        Action action;
        Clock::time_point due;
    };

    void connect(const Arguments& arguments);
    void request_configuration();
    void read_metadata();
    void subscribe_to_results();
    Json look_up(const std::string& topic);
    bool await(const std::function<bool()>& condition, std::chrono::milliseconds limit);

    void subscribe(const std::string& topic);
    void send(const std::string& topic, const char* type, const Json& data);
    void pump(std::chrono::milliseconds longest);
    void sort(const std::string& topic, const std::string& payload);
    void dispatch(const Message& message);
    void answer(const std::string& topic, const Json& command, const CommandHandler& handler);
    [[nodiscard]] std::chrono::milliseconds until_next_timer() const;
    void run_timers();

    [[nodiscard]] const std::vector<Connection>& connections(const std::string& requirement) const;
    [[nodiscard]] std::string implementation_topic(const std::string& implementation, const char* group,
                                                   const std::string& name, const std::string& rest) const;
    [[nodiscard]] std::string topic_of(const std::string& module_id, const std::string& rest) const;

    std::string id_, prefix_, name_;
    Json parameters_, interfaces_ = Json::object(), manifests_ = Json::object(), module_names_;
    std::map<std::string, std::vector<Connection>> connections_;

    std::unique_ptr<mosquitto, decltype(&mosquitto_destroy)> client_{nullptr, mosquitto_destroy};
    bool connected_ = false;
    std::map<std::string, Json> configuration_responses_; ///< by topic
    std::map<std::string, Json> results_;                 ///< by the id of the call
    std::deque<Message> received_;                        ///< as the network brought them, each a JSON string
    std::deque<Message> inbox_;                           ///< variables and commands that wait for their handler
    bool ready_ = false;
    bool stopping_ = false;

    std::map<std::string, CommandHandler> command_handlers_; ///< by topic
    std::map<std::string, VariableHandler> variable_handlers_;
    Action ready_action_, shutdown_action_;
    std::list<Timer> timers_;
};

/// `main` of a module. What fails is printed, and the exit code is 1, as for every module of EVerest.
template <typename Application>
int run(int argc, char** argv)
{
    try {
        Module module{Arguments{argc, argv}};
        Application application{module};
        return module.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}

} // namespace everest_kit
