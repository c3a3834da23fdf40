// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/nearest.hpp"
#include "config/node.hpp"
#include "config/policy.hpp"

#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// How belay.yaml is read: a mapping is a table of keys, each with the function that checks its value and stores it.
/// Every problem is a diagnostic at its place; what is wrong is not stored.
namespace belay::config {

struct Reading
{
    Diagnostics& diagnostics;
    std::string subject; ///< the module or section, for messages
};

template <typename Target>
struct Key
{
    const char* name;
    void (*read)(Reading&, const Member&, Target&);
};

/// False with a diagnostic if `member` is no list; `example`: what to write unless one value is given.
bool is_list(Reading& reading, const Member& member, const std::string& example = "[] for none");
/// False with a diagnostic if `member` is no mapping; `example`: what to write.
bool is_mapping(Reading& reading, const Member& member, const std::string& example = {});
void report_unknown_key(Reading& reading, const Member& member, const std::vector<std::string>& names);

template <typename Target, std::size_t count>
void read_mapping(Reading& reading, const Node& node, Target& target, const std::array<Key<Target>, count>& keys)
{
    for (const auto& member : node.members) {
        const auto* key = keys.begin();
        while (key != keys.end() && member.key != key->name)
            ++key;
        if (key != keys.end()) {
            key->read(reading, member, target);
            continue;
        }
        report_unknown_key(reading, member, names_of(keys));
    }
}

template <typename Target, std::size_t count>
void read_mapping(Reading& reading, const Member& member, Target& target, const std::array<Key<Target>, count>& keys,
                  const std::string& example = {})
{
    if (is_mapping(reading, member, example))
        read_mapping(reading, member.value, target, keys);
}

/// Of keys or choices.
template <typename Item, std::size_t count>
std::vector<std::string> names_of(const std::array<Item, count>& items)
{
    std::vector<std::string> names;
    for (const auto& item : items)
        names.emplace_back(item.name);
    return names;
}

template <typename Value>
struct Choice
{
    const char* name;
    Value value;
};

/// "timeout: {delay: 5}", with the number that was given in place of the mapping, or else with `number`.
std::string example_of(const Member& member, const std::string& key, const std::string& number);

void report_choices(Reading& reading, const Member& member, const std::vector<std::string>& names);

/// One of a few words; an unquoted `off` is one, too.
template <typename Value, std::size_t count>
void read_choice(Reading& reading, const Member& member, const std::array<Choice<Value>, count>& choices, Value& value)
{
    for (const auto& choice : choices)
        if (member.value.is(Node::Kind::string) && member.value.text == choice.name) {
            value = choice.value;
            return;
        }
    report_choices(reading, member, names_of(choices));
}

void read_boolean(Reading& reading, const Member& member, bool& value);
std::optional<int> whole_number(Reading& reading, const Member& member, int least, int most);
/// From `least` to 86400, fractions too.
std::optional<std::chrono::milliseconds> seconds(Reading& reading, const Member& member,
                                                 std::chrono::milliseconds least = {});
void read_seconds(Reading& reading, const Member& member, std::chrono::milliseconds& value);
/// Names in a list; nothing if it is none.
void read_names(Reading& reading, const Member& member, std::vector<Named>& values);
/// Absolute paths without `..`.
void read_paths(Reading& reading, const Member& member, std::vector<Named>& values);
void read_ports(Reading& reading, const Member& member, std::vector<std::uint16_t>& values);
Origin origin_of(const Place& place);
Named named(const Node& node);

// belay_environment.cpp, belay_limits.cpp, belay_restart.cpp, belay_sandbox.cpp, belay_watchdog.cpp
void read_environment(Reading& reading, const Member& member, std::map<std::string, std::string>& variables);
void read_variable_names(Reading& reading, const Member& member, std::vector<std::string>& variables);
void read_limits(Reading& reading, const Member& member, Limits& limits);
void read_restart(Reading& reading, const Member& member, RestartPolicy& policy);
void read_sandbox(Reading& reading, const Member& member, Sandbox& sandbox);
void read_liveness(Reading& reading, const Member& member, Liveness& liveness);
void read_watchdog(Reading& reading, const Member& member, launcher::WatchdogPlan& watchdog);

std::vector<std::string> limit_names();
std::vector<std::string> liveness_names();
std::vector<std::string> restart_names();
std::vector<std::string> sandbox_names();
std::vector<std::string> watchdog_names();

/// What keys say together, after the most specific of each was taken. `place`: what to point at.
void check_limits(Reading& reading, const Place& place, const Limits& limits);
void check_restart(Reading& reading, const Place& place, const RestartPolicy& policy);
void check_sandbox(Reading& reading, const Place& place, const Sandbox& sandbox);

} // namespace belay::config
