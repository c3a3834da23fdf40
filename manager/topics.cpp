// SPDX-License-Identifier: Apache-2.0
#include "manager/topics.hpp"

#include <algorithm>
#include <array>

namespace belay::manager {

namespace {

constexpr std::array<std::string_view, 9> single_topics{"interfaces",      "types",           "settings",
                                                        "schemas",         "module_names",    "manifests",
                                                        "module_provides", "error_types_map", "module_config_cache"};
constexpr std::array<std::string_view, 3> topic_folders{"interface_definitions/", "type_definitions/", "manifests/"};

constexpr bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

} // namespace

bool is_module_id(std::string_view text)
{
    constexpr std::size_t longest = 128;
    const auto fits = [](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '.' || c == '-'; };
    return !text.empty() && text.size() <= longest && is_letter(text.front()) && std::ranges::all_of(text, fits);
}

std::string_view module_in(std::string_view topic, std::string_view after)
{
    constexpr std::string_view before = "modules/";
    if (!topic.starts_with(before) || !topic.ends_with(after) || topic.size() <= before.size() + after.size())
        return {};
    return topic.substr(before.size(), topic.size() - before.size() - after.size());
}

std::string Topics::of_module(std::string_view id, std::string_view rest) const
{
    return of("modules/") + std::string{id} + '/' + std::string{rest};
}

std::string_view Topics::rest_of(std::string_view topic) const
{
    return topic.starts_with(prefix_) ? topic.substr(prefix_.size()) : std::string_view{};
}

std::vector<std::string> Topics::metadata_filters() const
{
    std::vector<std::string> filters;
    for (const auto topic : single_topics)
        filters.push_back(of(topic));
    for (const auto folder : topic_folders)
        filters.push_back(of(folder) + "+");
    return filters;
}

/// With the prefix `everest/manifests/`, another manager has `everest/manifests/settings`: that is no manifest.
bool Topics::is_metadata(std::string_view topic) const
{
    topic = rest_of(topic);
    const auto is_single = [](std::string_view name) { return std::ranges::count(single_topics, name) != 0; };
    return is_single(topic) || std::ranges::any_of(topic_folders, [&](auto folder) {
               return topic.starts_with(folder) && !is_single(topic.substr(folder.size()));
           });
}

} // namespace belay::manager
