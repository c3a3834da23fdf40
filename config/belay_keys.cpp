// SPDX-License-Identifier: Apache-2.0
#include "config/belay_keys.hpp"

#include "config/quoted_list.hpp"

#include <cmath>
#include <sstream>

namespace belay::config {

namespace {

std::string quoted(const Member& member)
{
    return '`' + member.key + '`';
}

} // namespace

bool is_list(Reading& reading, const Member& member, const std::string& example)
{
    const auto& value = member.value;
    const bool one = !value.text.empty(); // what has a text is neither a list nor a mapping
    if (!value.is(Node::Kind::sequence))
        report_error(reading.diagnostics, value, quoted(member) + " must be a list",
                     "write " + (one ? '[' + value.text + ']' : example));
    return value.is(Node::Kind::sequence);
}

std::string example_of(const Member& member, const std::string& key, const std::string& number)
{
    const auto& value = member.value;
    const bool given = value.is(Node::Kind::integer) || value.is(Node::Kind::number);
    return member.key + ": {" + key + ": " + (given ? value.text : number) + '}';
}

bool is_mapping(Reading& reading, const Member& member, const std::string& example)
{
    if (!member.value.is(Node::Kind::mapping))
        report_error(reading.diagnostics, member.value, quoted(member) + " must be a mapping",
                     example.empty() ? example : "write " + example);
    return member.value.is(Node::Kind::mapping);
}

void report_unknown_key(Reading& reading, const Member& member, const std::vector<std::string>& names)
{
    report_error(reading.diagnostics, member.key_place, "unknown key " + quoted(member), suggest(member.key, names));
}

void report_choices(Reading& reading, const Member& member, const std::vector<std::string>& names)
{
    report_error(reading.diagnostics, member.value, quoted(member) + " must be " + quoted_list(names, " or "),
                 suggest(member.value.text, names));
}

void read_boolean(Reading& reading, const Member& member, bool& value)
{
    if (member.value.is(Node::Kind::boolean))
        value = member.value.boolean;
    else
        report_error(reading.diagnostics, member.value, quoted(member) + " must be true or false");
}

std::optional<int> whole_number(Reading& reading, const Member& member, int least, int most)
{
    const auto& value = member.value;
    if (value.is(Node::Kind::integer) && value.integer >= least && value.integer <= most)
        return static_cast<int>(value.integer);
    report_error(reading.diagnostics, value,
                 quoted(member) + " must be a whole number from " + std::to_string(least) + " to " +
                     std::to_string(most));
    return std::nullopt;
}

std::optional<std::chrono::milliseconds> seconds(Reading& reading, const Member& member,
                                                 std::chrono::milliseconds least)
{
    constexpr double longest = 86400;
    constexpr double ms_per_s = 1000;
    const auto& node = member.value;
    const double given = node.is(Node::Kind::integer) ? static_cast<double>(node.integer) : node.number;
    const bool number = node.is(Node::Kind::integer) || node.is(Node::Kind::number);
    const double shortest = static_cast<double>(least.count()) / ms_per_s;
    if (number && given >= shortest && given <= longest)
        return std::chrono::milliseconds{std::lround(given * ms_per_s)};
    std::ostringstream from;
    from << shortest;
    report_error(reading.diagnostics, node, quoted(member) + " must be seconds, from " + from.str() + " to 86400",
                 "write a number such as 10 or 2.5, without quotes and without a unit");
    return std::nullopt;
}

void read_seconds(Reading& reading, const Member& member, std::chrono::milliseconds& value)
{
    value = seconds(reading, member).value_or(value);
}

Origin origin_of(const Place& place)
{
    return {location_of(place), place.file ? place.file->line(place.line) : std::string{}};
}

Named named(const Node& node)
{
    return {node.text, origin_of(node)};
}

void read_names(Reading& reading, const Member& member, std::vector<Named>& values)
{
    if (!is_list(reading, member))
        return;
    values.clear();
    for (const auto& item : member.value.items) {
        if (item.is(Node::Kind::string) && !item.text.empty())
            values.push_back(named(item));
        else
            report_error(reading.diagnostics, item, quoted(member) + " must be a list of names");
    }
}

void read_paths(Reading& reading, const Member& member, std::vector<Named>& values)
{
    read_names(reading, member, values);
    for (const auto& item : member.value.items) {
        const bool climbs = (item.text + '/').find("/../") != std::string::npos;
        if (item.is(Node::Kind::string) && (!item.text.starts_with('/') || climbs))
            report_error(reading.diagnostics, item,
                         '`' + item.text + "` is not an absolute path" + (climbs ? " without `..`" : ""));
    }
}

void read_ports(Reading& reading, const Member& member, std::vector<std::uint16_t>& values)
{
    constexpr int last_port = 65535;
    if (!is_list(reading, member))
        return;
    values.clear();
    for (const auto& item : member.value.items)
        if (const auto port = whole_number(reading, {member.key, member.key_place, item}, 1, last_port))
            values.push_back(static_cast<std::uint16_t>(*port));
}

} // namespace belay::config
