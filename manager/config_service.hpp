// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "manager/dialect.hpp"
#include "manager/parameter_store.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace belay::manager {

/// What a module wants to be set.
struct Change
{
    std::string origin;
    ParameterName parameter;
    std::string text;
};

/// Answers the requests of wire-protocol.md §4: from what was loaded, and from what was changed since.
class ConfigService
{
public:
    struct Answer
    {
        std::string origin;    ///< who asked; a plausible module id, not necessarily one that exists
        std::string payload;   ///< for the answer topic of `origin`; empty: the dialect has no words for it
        std::string refusal;   ///< why it was not answered as asked; empty if it was
        bool start_up = false; ///< the module's own configuration, as asked for at its start
        /// It may be made; then there is no answer before it is known what came of it.
        std::optional<Change> change = {};
    };

    /// `configuration` must outlive the service.
    ConfigService(const config::Configuration& configuration, const Dialect& dialect);

    /// From now on, answers are in this dialect.
    void speak(const Dialect& dialect);

    /// `request` is that of the newest dialect, whatever the module speaks. Nothing only if it does not say who asked.
    [[nodiscard]] std::optional<Answer> answer(const nlohmann::json& request) const;

    [[nodiscard]] Answer set_answer(const Change& change, std::string_view status, const std::string& status_info,
                                    std::string_view set_status, const std::string& set_status_info) const;

    /// The parameter as the wire has it; null if there is none. Until the next change.
    [[nodiscard]] const nlohmann::json* find(const ParameterName& parameter) const;

    /// The value counts when its module is started again, or when apply() says so.
    void postpone(const ParameterName& parameter, nlohmann::json value);
    void apply(const ParameterName& parameter);
    /// The module is started again.
    void renew(const std::string& module);

private:
    struct Response;

    [[nodiscard]] nlohmann::json all_configurations(const config::Module& requester) const;
    [[nodiscard]] nlohmann::json all_mappings(const config::Module& requester) const;
    [[nodiscard]] nlohmann::json module_data(const config::Module& module) const;
    /// The `module_config` of today.
    [[nodiscard]] const nlohmann::json& config_of(const config::Module& module) const;
    void write_start_up_answer(const config::Module& module);
    void apply_if(const std::string& id, const std::function<bool(const ParameterName&)>& wanted);
    [[nodiscard]] Response value(const config::Module& requester, const nlohmann::json& request) const;
    [[nodiscard]] Answer set(const config::Module& requester, const nlohmann::json& request) const;
    [[nodiscard]] Answer finish(const std::string& origin, Response response) const;
    [[nodiscard]] Response get(const config::Module& requester, const nlohmann::json& request) const;

    const config::Configuration& configuration_;
    const Dialect* dialect_ = nullptr;
    std::map<std::string, std::string, std::less<>> start_up_answers_; ///< module id → payload
    std::map<std::string, nlohmann::json> changed_;                    ///< module id → `module_config`
    std::map<std::string, std::vector<std::pair<ParameterName, nlohmann::json>>> postponed_; ///< by module id
};

} // namespace belay::manager
