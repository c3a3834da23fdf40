// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "manager/dialect.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace belay::manager {

/// Answers the requests of wire-protocol.md §4: from what was loaded, without side effects.
class ConfigService
{
public:
    struct Answer
    {
        std::string origin;    ///< who asked; a plausible module id, not necessarily one that exists
        std::string payload;   ///< for the answer topic of `origin`; empty: the dialect has no words for it
        std::string refusal;   ///< why it was not answered as asked; empty if it was
        bool start_up = false; ///< the module's own configuration, as asked for at its start
    };

    /// `configuration` must outlive the service.
    ConfigService(const config::Configuration& configuration, const Dialect& dialect);

    /// From now on, answers are in this dialect.
    void speak(const Dialect& dialect);

    /// `request` is that of the newest dialect, whatever the module speaks. Nothing only if it does not say who asked.
    [[nodiscard]] std::optional<Answer> answer(const nlohmann::json& request) const;

private:
    struct Response;

    [[nodiscard]] nlohmann::json all_configurations(const config::Module& requester) const;
    [[nodiscard]] nlohmann::json all_mappings(const config::Module& requester) const;
    [[nodiscard]] nlohmann::json module_data(const config::Module& module) const;
    [[nodiscard]] Response value(const config::Module& requester, const nlohmann::json& request) const;
    [[nodiscard]] Response set(const config::Module& requester, const nlohmann::json& request) const;
    [[nodiscard]] Response get(const config::Module& requester, const nlohmann::json& request) const;

    const config::Configuration& configuration_;
    const Dialect* dialect_ = nullptr;
    std::map<std::string, std::string, std::less<>> start_up_answers_; ///< module id → payload
};

} // namespace belay::manager
