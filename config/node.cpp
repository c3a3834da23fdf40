// SPDX-License-Identifier: Apache-2.0
#include "config/node.hpp"

#include "config/scalars.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

namespace belay::config {

namespace {

/// Moves what it can out of a node that nobody needs any more.
template <typename AnyNode>
nlohmann::json convert(AnyNode&& node)
{
    const auto part = [](auto& member) -> decltype(auto) {
        if constexpr (std::is_lvalue_reference_v<AnyNode>)
            return (member);
        else
            return std::move(member);
    };
    switch (node.kind) {
    case Node::Kind::null:
        return nullptr;
    case Node::Kind::boolean:
        return node.boolean;
    case Node::Kind::integer:
        return node.integer;
    case Node::Kind::number:
        return node.number;
    case Node::Kind::string:
        return part(node.text);
    case Node::Kind::sequence: {
        auto result = nlohmann::json::array();
        for (auto& item : node.items)
            result.push_back(convert(part(item)));
        return result;
    }
    case Node::Kind::mapping:
        break;
    }
    auto result = nlohmann::json::object();
    for (auto& member : node.members)
        result.emplace(part(member.key), convert(part(member.value)));
    return result;
}

} // namespace

SourceFile::SourceFile(std::string file_name, std::string content)
    : name(std::move(file_name)),
      text(std::move(content)),
      starts_{0},
      ascii_(std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) > 0x7f; }))
{
    for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1))
        starts_.push_back(at + 1);
}

std::string SourceFile::line(int number) const
{
    constexpr std::size_t longest = 4096;
    const auto index = static_cast<std::size_t>(number) - 1;
    if (number < 1 || index >= starts_.size())
        return {};
    const auto begin = starts_[index];
    const auto end = index + 1 < starts_.size() ? starts_[index + 1] - 1 : text.size();
    auto result = text.substr(begin, std::min(end - begin, longest));
    if (!result.empty() && result.back() == '\r')
        result.pop_back();
    return result;
}

int SourceFile::column(int number, std::size_t characters) const
{
    const auto index = static_cast<std::size_t>(number) - 1;
    auto bytes = characters;
    if (!ascii_ && number >= 1 && index < starts_.size()) {
        const auto begin = starts_[index];
        auto at = begin;
        for (; characters > 0 && at < text.size(); --characters)
            at += std::max<std::size_t>(1, utf8_length(text, at));
        bytes = at - begin;
    }
    return static_cast<int>(bytes) + 1;
}

const Member* Node::find_member(std::string_view key) const
{
    const auto found = std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.key == key; });
    return found == members.end() ? nullptr : &*found;
}

const Node* Node::find(std::string_view key) const
{
    const auto* member = find_member(key);
    return member == nullptr ? nullptr : &member->value;
}

Node* Node::find(std::string_view key)
{
    const auto found = std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.key == key; });
    return found == members.end() ? nullptr : &found->value;
}

std::string Node::string_at(std::string_view key, std::string fallback) const
{
    const auto* node = find(key);
    if (node != nullptr && node->is(Kind::string))
        return node->text;
    return fallback;
}

bool Node::boolean_at(std::string_view key) const
{
    const auto* node = find(key);
    return node != nullptr && node->is(Kind::boolean) && node->boolean;
}

std::vector<std::string> Node::keys() const
{
    std::vector<std::string> result;
    for (const auto& member : members)
        result.push_back(member.key);
    return result;
}

Location location_of(const Place& place)
{
    return {place.file ? place.file->name : std::string{}, place.line, place.column, place.length};
}

nlohmann::json to_json(const Node& node)
{
    return convert(node);
}

nlohmann::json to_json(Node&& node)
{
    return convert(std::move(node));
}

Node from_json(const nlohmann::json& value, const Place& place)
{
    Node result;
    static_cast<Place&>(result) = place;
    if (value.is_boolean()) {
        result.kind = Node::Kind::boolean;
        result.boolean = value.get<bool>();
    } else if (value.is_number_integer()) {
        result.kind = Node::Kind::integer;
        result.integer = value.get<int>();
    } else if (value.is_number()) {
        result.kind = Node::Kind::number;
        result.number = value.get<double>();
    } else if (value.is_string()) {
        result.kind = Node::Kind::string;
        result.text = value.get<std::string>();
    } else if (value.is_array()) {
        result.kind = Node::Kind::sequence;
        for (const auto& item : value)
            result.items.push_back(from_json(item, place));
    } else if (value.is_object()) {
        result.kind = Node::Kind::mapping;
        for (const auto& [key, item] : value.items())
            result.members.push_back({key, place, from_json(item, place)});
    }
    return result;
}

void report_error(Diagnostics& diagnostics, const Place& place, std::string message, std::string hint)
{
    diagnostics.error(location_of(place), std::move(message), std::move(hint),
                      place.file ? place.file->line(place.line) : std::string{});
}

void report_warning(Diagnostics& diagnostics, const Place& place, std::string message, std::string hint)
{
    diagnostics.warning(location_of(place), std::move(message), std::move(hint),
                        place.file ? place.file->line(place.line) : std::string{});
}

std::string_view describe(Node::Kind kind)
{
    switch (kind) {
    case Node::Kind::null:
        return "null";
    case Node::Kind::boolean:
        return "a boolean";
    case Node::Kind::integer:
        return "an integer";
    case Node::Kind::number:
        return "a number";
    case Node::Kind::string:
        return "a string";
    case Node::Kind::sequence:
        return "a list";
    case Node::Kind::mapping:
        break;
    }
    return "a mapping";
}

} // namespace belay::config
