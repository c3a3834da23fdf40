// SPDX-License-Identifier: Apache-2.0
//
// The board support of the example: where there is hardware, this module talks to it over a serial line.

#include "examples/kit/everest_kit.hpp"

#include <algorithm>

namespace {

using everest_kit::Json;

class ControlPilot
{
public:
    explicit ControlPilot(everest_kit::Module& module) : module_(module)
    {
        module.on_command("board", "set_max_current", [this](const Json& arguments) {
            max_current_ = arguments.at("ampere");
            module_.publish("socket", "max_current", max_current_);
            return update();
        });
        module.on_command("board", "power_on", [this](const Json&) { return switch_contactor(true); });
        module.on_command("board", "power_off", [this](const Json&) { return switch_contactor(false); });
        module.on_command("socket", "plug_in", [this](const Json&) { return set_state("B"); });
        module.on_command("socket", "unplug", [this](const Json&) { return set_state("A"); });
        module.on_command("socket", "request_power", [this](const Json& arguments) {
            wanted_ = arguments.at("ampere");
            return set_state(wanted_ > 0 ? "C" : "B");
        });
        module.on_shutdown([this] {
            if (contactor_closed_)
                everest_kit::Module::log("opening the contactor");
        });
    }

private:
    Json set_state(const std::string& state)
    {
        if (state != state_)
            module_.publish("board", "state", state);
        state_ = state;
        return update();
    }

    Json switch_contactor(bool closed)
    {
        if (closed && state_ != "C")
            throw std::runtime_error{"the vehicle does not ask for power"};
        if (closed != contactor_closed_)
            everest_kit::Module::log(closed ? "contactor closed" : "contactor open");
        contactor_closed_ = closed;
        return update();
    }

    /// What flows through the wires. A vehicle that is gone draws nothing, however late the charger hears of it.
    Json update()
    {
        const double current = contactor_closed_ && state_ == "C" ? std::min(wanted_, max_current_) : 0;
        if (current != current_)
            module_.publish("socket", "current", current);
        current_ = current;
        return nullptr;
    }

    everest_kit::Module& module_;
    std::string state_ = "A";
    double max_current_ = 0;
    double wanted_ = 0;
    double current_ = 0;
    bool contactor_closed_ = false;
};

} // namespace

int main(int argc, char** argv)
{
    return everest_kit::run<ControlPilot>(argc, argv);
}
