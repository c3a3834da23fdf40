// SPDX-License-Identifier: Apache-2.0
//
// The launch plan, which root obeys. Guaranteed of any bytes: decode() gives a plan or a reason; what it accepts is
// what encode() would have written, byte for byte, so nothing in it was passed over; and no plan makes the launcher do
// what no configuration leads to.
//
// The layout changes with the program, and old plans are no seeds. So an input is either a plan (it begins with 'B', as
// the magic number does) or changes to a valid one, each: where (2 bytes), how (1 byte), what (1 byte).
#include "launcher/plan.hpp"

#include "tests/fuzz/require.hpp"
#include "tests/launcher/plans.hpp"

#include <algorithm>

using namespace belay::launcher;

namespace {

std::string example()
{
    return encode(plan_with_everything());
}

void change(std::string& text, std::size_t at, unsigned how, char what)
{
    at %= text.size();
    const auto length = std::min<std::size_t>(how >> 2U, text.size() - at);
    switch (how & 3U) {
    case 0:
        text[at] = what;
        break;
    case 1:
        text.insert(at, length + 1, what);
        break;
    case 2:
        text.erase(at, length);
        break;
    default:
        text.insert(at, text.substr(at, length));
    }
    if (text.empty())
        text = what;
}

std::string bytes_of(std::span<const std::uint8_t> input)
{
    static const std::string valid = example();
    if (!input.empty() && input.front() == static_cast<std::uint8_t>(valid.front()))
        return {input.begin(), input.end()};
    auto result = valid;
    constexpr std::size_t size = 4;
    for (; input.size() >= size; input = input.subspan(size))
        change(result, input[0] + std::size_t{256} * input[1], input[2], static_cast<char>(input[3]));
    return result;
}

bool has_nul(const std::vector<std::string>& texts)
{
    return std::any_of(texts.begin(), texts.end(),
                       [](const std::string& text) { return text.find('\0') != std::string::npos; });
}

void check(const ProcessPlan& process)
{
    require(!has_nul(process.arguments) && !has_nul(process.environment) && !has_nul(process.devices) &&
                !has_nul({process.id, process.name, process.program, process.working_directory}),
            "no text hides something behind a NUL");
    for (const auto& device : process.devices)
        require(device.starts_with("/dev/") && (device + "/").find("/../") == std::string::npos,
                "a device is one of /dev");
    require(process.working_directory.starts_with('/'), "the working directory is absolute");
    require(!process.change_identity || process.uid != 0, "nobody becomes root");
    require(process.privileges != Privileges::kept || (process.capabilities == 0 && !process.change_identity),
            "who keeps root's privileges declares none");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto bytes = bytes_of({data, size});
    const auto plan = decode(std::as_bytes(std::span{bytes}));
    if (!plan) {
        require(!plan.error().empty(), "a refusal has a reason");
        return 0;
    }
    require(encode(*plan) == bytes, "what is accepted is what would have been written");
    for (const auto& module : plan->modules) {
        check(module);
        require(module.program.starts_with('/') && !module.arguments.empty(), "there is a program to run");
    }
    check(plan->manager);
    return 0;
}
