// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "manager/options.hpp"

#include <spdlog/logger.h>
#include <tl/expected.hpp>

#include <memory>
#include <span>
#include <string>

namespace belay::manager {

/// Which parameter of which module; `implementation` is `!module` for the module's own.
struct ParameterName
{
    std::string module, implementation, name;

    bool operator==(const ParameterName&) const = default;
};

/// What a parameter is set to. `characteristics` are the wire's; `value` is what `text` means.
struct Setting
{
    ParameterName parameter;
    nlohmann::json characteristics, value;
    std::string text;
};

/// Where values survive: wire-protocol.md §4.3. Errors are sentences.
class ParameterStore
{
public:
    virtual ~ParameterStore() = default;

    /// Before the modules start: warns if write() will fail. An error if nothing can be started.
    virtual tl::expected<void, std::string> prepare(spdlog::logger& log) = 0;

    /// All or none, for it takes the medium as long for many as for one. Once it returns, the values survive a power
    /// cut; one that comes before leaves the old or the new ones.
    virtual tl::expected<void, std::string> write(std::span<const Setting> settings) = 0;
};

/// The database if `--db` is given, else the overlay. `configuration` must outlive it.
std::unique_ptr<ParameterStore> make_store(const config::Configuration& configuration, const Options& options);

} // namespace belay::manager
