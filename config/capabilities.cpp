// SPDX-License-Identifier: Apache-2.0
#include "config/capabilities.hpp"

#include "config/nearest.hpp"

#include <sys/capability.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <map>

namespace belay::config {

namespace {

int last_capability()
{
    std::ifstream file{"/proc/sys/kernel/cap_last_cap"};
    int result = 0;
    return file >> result ? std::min(result, 63) : CAP_LAST_CAP;
}

std::string upper(std::string text)
{
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

} // namespace

std::string capability_name(int number)
{
    char* text = ::cap_to_name(number);
    if (text == nullptr)
        return "capability " + std::to_string(number);
    std::string result = upper(text);
    ::cap_free(text);
    return result;
}

std::optional<int> capability_number(const std::string& name)
{
    cap_value_t number = 0;
    if (::cap_from_name(name.c_str(), &number) != 0 || number < 0 || number > last_capability())
        return std::nullopt;
    // cap_from_name(3) also takes numbers and prefixes of longer texts: the name must come back.
    if (capability_name(number) != upper(name))
        return std::nullopt;
    return number;
}

std::string suggest_capability(const std::string& name)
{
    if (const auto number = capability_number("CAP_" + name))
        return "did you mean `" + capability_name(*number) + "`?";
    std::vector<std::string> names;
    for (int number = 0; number <= last_capability(); ++number)
        names.push_back(capability_name(number));
    return suggest(name, names);
}

std::string amounts_to_root(const std::string& name)
{
    static const std::map<std::string, std::string> reasons{
        {"CAP_SYS_ADMIN", "it can mount file systems over any file"},
        {"CAP_SYS_PTRACE", "it can take over any process"},
        {"CAP_DAC_OVERRIDE", "it can write every file"},
        {"CAP_DAC_READ_SEARCH", "it can read every file"},
        {"CAP_SETUID", "it can become root"},
        {"CAP_SETGID", "it can join every group"},
        {"CAP_SETPCAP", "it can hand out capabilities"},
        {"CAP_SETFCAP", "it can give any program capabilities"},
        {"CAP_SYS_MODULE", "it can load code into the kernel"},
        {"CAP_SYS_RAWIO", "it can reach memory and devices directly"},
        {"CAP_CHOWN", "it can take ownership of every file"},
        {"CAP_FOWNER", "it can change the mode of every file"},
        {"CAP_MKNOD", "it can create device files"},
        {"CAP_BPF", "it can run code in the kernel"},
    };
    const auto found = reasons.find(name);
    return found == reasons.end() ? std::string{} : found->second;
}

std::optional<launcher::CapabilityMask> known_needs(const std::string& module_name)
{
    if (module_name == "EvseSlac" || module_name == "EvSlac" || module_name == "PacketSniffer")
        return bit(CAP_NET_RAW);
    if (module_name == "Setup")
        return bit(CAP_NET_ADMIN) | bit(CAP_NET_RAW) | bit(CAP_DAC_OVERRIDE);
    return std::nullopt;
}

std::string capability_list(launcher::CapabilityMask mask)
{
    std::string result;
    for (int number = 0; number < 64; ++number)
        if ((mask & bit(number)) != 0)
            result += (result.empty() ? "" : ", ") + capability_name(number);
    return result.empty() ? "nothing" : result;
}

} // namespace belay::config
