// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "manager/parameter_store.hpp"

#include <filesystem>

namespace belay::manager {

/// The user-config overlay (config.md §6): JSON in a .yaml file, as EVerest's manager writes it. A change goes to a
/// file of its own in the same directory, to the medium, and only then takes the overlay's name: at no moment there is
/// neither the old nor the new one. What cannot be read is not overwritten.
class OverlayFile final : public ParameterStore
{
public:
    explicit OverlayFile(const config::Configuration& configuration);

    tl::expected<void, std::string> prepare(spdlog::logger& log) override;
    tl::expected<void, std::string> write(std::span<const Setting> settings) override;

private:
    [[nodiscard]] tl::expected<nlohmann::json, std::string> read() const;
    [[nodiscard]] tl::expected<void, std::string> replace(const std::string& text) const;

    std::filesystem::path path_;
    std::filesystem::path config_file_;
    bool links_refused_;
};

} // namespace belay::manager
