// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

/// The topics of wire-protocol.md, under the everest prefix.
namespace belay::manager {

/// `[A-Za-z_][A-Za-z0-9_.-]*`, at most 128 bytes: what may become part of a topic.
[[nodiscard]] bool is_module_id(std::string_view text);

/// The module of a topic modules/<id><after>, without the everest prefix; empty if it is another topic.
[[nodiscard]] std::string_view module_in(std::string_view topic, std::string_view after);

class Topics
{
public:
    /// `prefix` ends in a slash.
    explicit Topics(std::string prefix) : prefix_(std::move(prefix)) {}

    [[nodiscard]] std::string of(std::string_view rest) const { return prefix_ + std::string{rest}; }
    [[nodiscard]] std::string global_ready() const { return of("ready"); }
    [[nodiscard]] std::string shutdown() const { return of("shutdown"); }
    [[nodiscard]] std::string ready(std::string_view id) const { return of_module(id, "ready"); }
    [[nodiscard]] std::string of_module(std::string_view id, std::string_view rest) const;

    /// What follows the prefix; empty if it is another's topic.
    [[nodiscard]] std::string_view rest_of(std::string_view topic) const;

    /// The module that the topic says is ready; empty if it is another topic.
    [[nodiscard]] std::string_view ready_module(std::string_view topic) const
    {
        return module_in(rest_of(topic), "/ready");
    }

    /// The module that says on this topic what came of a change; empty if it is another topic.
    [[nodiscard]] std::string_view set_response_module(std::string_view topic) const
    {
        return module_in(rest_of(topic), "/config/set_response");
    }
    [[nodiscard]] std::string set_response_filter() const { return of("modules/+/config/set_response"); }
    [[nodiscard]] std::string set_request(std::string_view id) const { return of_module(id, "config/set_request"); }

    /// Filters for everything that a manager of any release may have left behind as retained.
    [[nodiscard]] std::vector<std::string> metadata_filters() const;
    [[nodiscard]] bool is_metadata(std::string_view topic) const;

private:
    std::string prefix_;
};

} // namespace belay::manager
