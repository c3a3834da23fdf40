// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/database.hpp"
#include "manager/parameter_store.hpp"

namespace belay::manager {

/// `--db`.
class DatabaseStore final : public ParameterStore
{
public:
    DatabaseStore(const config::Configuration& configuration, std::filesystem::path file)
        : configuration_(configuration), file_(std::move(file))
    {}

    /// Puts the modules of the file there if they are not from there.
    tl::expected<void, std::string> prepare(spdlog::logger& log) override;
    tl::expected<void, std::string> write(std::span<const Setting> settings) override;

private:
    tl::expected<void, std::string> open();

    const config::Configuration& configuration_;
    std::filesystem::path file_;
    std::optional<Database> database_;
};

} // namespace belay::manager
