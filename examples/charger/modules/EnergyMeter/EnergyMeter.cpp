// SPDX-License-Identifier: Apache-2.0
//
// Where there is hardware, this module reads a meter over Modbus.

#include "examples/kit/everest_kit.hpp"

namespace {

using everest_kit::Json;
using Clock = std::chrono::steady_clock;

class EnergyMeter
{
public:
    explicit EnergyMeter(everest_kit::Module& module)
        : W_per_A_(module.config("voltage_V").get<double>() * module.config("phases").get<int>())
    {
        module.on_variable("wires", "current", [this](const Json& ampere) {
            count();
            power_W_ = ampere.get<double>() * W_per_A_;
        });
        module.on_command("main", "start_transaction", [this](const Json&) {
            count();
            energy_Wh_ = 0;
            return nullptr;
        });
        module.on_command("main", "stop_transaction", [this](const Json&) {
            count();
            return energy_Wh_;
        });
        module.every(std::chrono::milliseconds{module.config("interval_ms").get<int>()}, [this, &module] {
            count();
            module.publish("main", "measurement", {{"power_W", power_W_}, {"energy_Wh", energy_Wh_}});
        });
    }

private:
    /// Adds what flowed since the last time.
    void count()
    {
        const auto now = Clock::now();
        using Hours = std::chrono::duration<double, std::ratio<3600>>;
        energy_Wh_ += power_W_ * Hours{now - counted_}.count();
        counted_ = now;
    }

    double W_per_A_;
    double power_W_ = 0;
    double energy_Wh_ = 0;
    Clock::time_point counted_ = Clock::now();
};

} // namespace

int main(int argc, char** argv)
{
    return everest_kit::run<EnergyMeter>(argc, argv);
}
