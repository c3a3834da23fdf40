// SPDX-License-Identifier: Apache-2.0
#include "config/configuration.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fstream>

/// Every configuration of EVerest must be understood exactly as EVerest's own manager understands it.

namespace fs = std::filesystem;
using namespace belay::config;

namespace {

fs::path shared()
{
    const char* given = std::getenv("BELAY_EVEREST_SHARED");
    return given == nullptr ? fs::path{BELAY_EVEREST_SHARED_DEFAULT} : fs::path{given};
}

nlohmann::json read_json(const fs::path& path)
{
    std::ifstream file{path};
    return nlohmann::json::parse(file);
}

std::string all_text(const Diagnostics& diagnostics)
{
    std::string result;
    for (const auto& item : diagnostics.all())
        result += render(item, false) + '\n';
    return result;
}

} // namespace

TEST_CASE("configurations equal EVerest's own reading")
{
    if (!fs::is_directory(shared() / "everest-docs" / "golden")) {
        WARN("skipped: EVerest's data is not at " << shared());
        return;
    }
    const auto golden = shared() / "everest-docs" / "golden";
    LoadOptions options;
    options.prefix = (shared() / "everest").string();
    int compared = 0;
    for (const auto& entry : fs::directory_iterator(shared() / "everest" / "etc" / "everest")) {
        if (entry.path().extension() != ".yaml")
            continue;
        const auto stem = entry.path().stem().string();
        INFO(stem);
        options.config = entry.path().string();
        Diagnostics diagnostics;
        const auto configuration = load(options, diagnostics);
        INFO(all_text(diagnostics));
        if (stem == "config-bringup-ovm-sil") {
            CHECK_FALSE(configuration);
            CHECK(diagnostics.has_errors());
            CHECK(diagnostics.all().front().location.line > 0);
            continue;
        }
        CHECK(configuration.has_value());
        if (!configuration)
            continue;
        auto modules = nlohmann::json::object();
        for (const auto& [id, module] : configuration->modules)
            modules[id] = module.config;
        const auto expected = read_json(golden / "config" / (stem + ".json"));
        CHECK(nlohmann::json::diff(expected, modules) == nlohmann::json::array());
        for (const auto& [name, manifest] : configuration->manifests.items())
            if (fs::exists(golden / "manifests" / (name + ".json")))
                CHECK(nlohmann::json::diff(read_json(golden / "manifests" / (name + ".json")), manifest) ==
                      nlohmann::json::array());
        CHECK(configuration->types.empty());
        CHECK(configuration->schemas.is_null());
        ++compared;
    }
    CHECK(compared > 40);
}

TEST_CASE("all manifests equal EVerest's own reading")
{
    if (!fs::is_directory(shared() / "everest-docs" / "golden")) {
        WARN("skipped: EVerest's data is not at " << shared());
        return;
    }
    LoadOptions options;
    options.prefix = (shared() / "everest").string();
    Diagnostics diagnostics;
    const auto manifests = load_all_manifests(options, diagnostics);
    INFO(all_text(diagnostics));
    REQUIRE(manifests);
    for (const auto& entry : fs::directory_iterator(shared() / "everest-docs" / "golden" / "manifests")) {
        INFO(entry.path());
        CHECK(nlohmann::json::diff(read_json(entry.path()), manifests->at(entry.path().stem().string())) ==
              nlohmann::json::array());
    }
}
