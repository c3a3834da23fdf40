// SPDX-License-Identifier: Apache-2.0
//
// A session: plugged in, authorised, matched, charging, stopped, unplugged.

#include "examples/kit/everest_kit.hpp"

#include <array>

namespace {

using everest_kit::Json;

template <typename... Values>
std::string format(const char* pattern, Values... values)
{
    std::array<char, 128> buffer{};
    std::snprintf(buffer.data(), buffer.size(), pattern, values...);
    return buffer.data();
}

class EvseManager
{
public:
    explicit EvseManager(everest_kit::Module& module) : module_(module), max_current_A_(module.config("max_current_A"))
    {
        module.on_command("main", "authorise",
                          [this](const Json& arguments) { return authorise(arguments.at("token")); });
        module.on_variable("board", "state", [this](const Json& state) { on_pilot(state.get<std::string>()); });
        module.on_variable("meter", "measurement", [this](const Json& measurement) { on_measurement(measurement); });
    }

private:
    enum class State
    {
        idle,
        plugged_in,
        authorised,
        charging,
        stopped
    };

    void say(const std::string& text) const { everest_kit::Module::log(format("session %d: ", session_) + text); }

    void on_pilot(const std::string& pilot)
    {
        if (state_ == State::charging && pilot != "C")
            stop();
        if (pilot == "A" && state_ != State::idle)
            end();
        else if (pilot == "B" && state_ == State::idle)
            begin();
        else if (pilot == "C" && state_ == State::authorised)
            charge();
    }

    void begin()
    {
        ++session_;
        state_ = State::plugged_in;
        say("plugged in, waiting for authorisation");
    }

    bool authorise(const std::string& token)
    {
        if (state_ != State::plugged_in)
            return false;
        say("authorised by " + token);
        const bool matched = module_.call("slac", "match");
        say(matched ? "matched by SLAC" : "not matched by SLAC: basic charging only");
        state_ = State::authorised;
        module_.call("board", "set_max_current", {{"ampere", max_current_A_}});
        return true;
    }

    void charge()
    {
        module_.call("meter", "start_transaction");
        module_.call("board", "power_on");
        state_ = State::charging;
        say(format("charging with at most %.0f A", max_current_A_));
    }

    void on_measurement(const Json& measurement)
    {
        if (state_ != State::charging)
            return;
        const double power_W = measurement.at("power_W");
        module_.publish("main", "power_W", power_W);
        say(format("%.2f kW, %.1f Wh so far", power_W / 1000, measurement.at("energy_Wh").get<double>()));
    }

    void stop()
    {
        module_.call("board", "power_off");
        const double energy_Wh = module_.call("meter", "stop_transaction");
        state_ = State::stopped;
        say(format("stopped, %.1f Wh in total", energy_Wh));
    }

    void end()
    {
        module_.call("board", "set_max_current", {{"ampere", 0}});
        module_.call("slac", "unmatch");
        state_ = State::idle;
        say("unplugged");
    }

    everest_kit::Module& module_;
    double max_current_A_;
    State state_ = State::idle;
    int session_ = 0;
};

} // namespace

int main(int argc, char** argv)
{
    return everest_kit::run<EvseManager>(argc, argv);
}
