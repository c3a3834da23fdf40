// SPDX-License-Identifier: Apache-2.0
//
// belay.yaml: what a module's environment has beside what every module gets (program.cpp).
#include "config/belay_keys.hpp"

#include <algorithm>

namespace belay::config {

namespace {

/// What the manager says by them would not be true any more. A `*` stands for any ending.
constexpr std::array<std::string_view, 11> set_by_manager{
    "EV_*",         "HOME", "LOGNAME",     "NOTIFY_SOCKET",      "PYTHONNOUSERSITE",
    "SHELL",        "USER", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "WATCHDOG_PID",
    "WATCHDOG_USEC"};

bool is_set_by_manager(std::string_view name)
{
    return std::ranges::any_of(set_by_manager, [&](std::string_view one) {
        return one.ends_with('*') ? name.starts_with(one.substr(0, one.size() - 1)) : name == one;
    });
}

bool is_variable(std::string_view name)
{
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    return !name.empty() && letter(name.front()) &&
           std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

bool may_be_given(Reading& reading, const std::string& name, const Origin& origin)
{
    const auto refuse = [&](const char* why, const char* remedy) {
        reading.diagnostics.error(origin.location, '`' + name + why, remedy, origin.source);
        return false;
    };
    if (!is_variable(name))
        return refuse("` is not the name of a variable", "use letters, digits and _, and begin with no digit");
    if (is_set_by_manager(name))
        return refuse("` is set by the manager, to what is true of this module", "remove it");
    return true;
}

} // namespace

void read_environment(Reading& reading, const Member& member, std::map<std::string, std::string>& variables)
{
    if (!is_mapping(reading, member, member.key + ": {NAME: value}"))
        return;
    for (const auto& [name, place, value] : member.value.members) {
        const bool scalar =
            !value.is(Node::Kind::null) && !value.is(Node::Kind::sequence) && !value.is(Node::Kind::mapping);
        if (!scalar)
            report_error(reading.diagnostics, value, "the value of `" + name + "` must be a text",
                         "write \"\" for an empty one");
        else if (may_be_given(reading, name, origin_of(place)))
            variables[name] = value.text;
    }
}

void read_variable_names(Reading& reading, const Member& member, std::vector<std::string>& variables)
{
    std::vector<Named> names;
    read_names(reading, member, names);
    variables.clear();
    for (auto& [name, origin] : names)
        if (may_be_given(reading, name, origin))
            variables.push_back(std::move(name));
}

} // namespace belay::config
