// SPDX-License-Identifier: Apache-2.0
#include "manager/check.hpp"

#include "launcher/capability_sets.hpp"
#include "launcher/errno_text.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <unistd.h>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

using Result = tl::expected<void, std::string>;

tl::unexpected<std::string> refusal(const fs::path& path, const std::string& why)
{
    return tl::unexpected("could not write " + path.string() + ": " + why);
}

Result write(const fs::path& path, const nlohmann::json& value)
{
    constexpr int indent = 4;
    std::ofstream stream{path};
    stream << value.dump(indent) << '\n';
    stream.close();
    return stream ? Result{} : refusal(path, errno_text(errno));
}

Result create(const fs::path& directory)
{
    std::error_code error;
    fs::create_directories(directory, error);
    return error ? refusal(directory, error.message()) : Result{};
}

bool use_color()
{
    return ::isatty(STDERR_FILENO) == 1 && ::getenv("NO_COLOR") == nullptr;
}

} // namespace

void print(const config::Diagnostics& diagnostics)
{
    for (const auto& diagnostic : diagnostics.all())
        std::fprintf(stderr, "%s\n", config::render(diagnostic, use_color()).c_str());
}

Result dump(const config::Configuration& configuration, const std::string& directory)
{
    auto result = create(directory);
    auto modules = nlohmann::json::object();
    for (const auto& [id, module] : configuration.modules)
        modules[id] = module.config;
    if (result)
        result = write(fs::path{directory} / "config.json", modules);
    for (auto manifest = configuration.manifests.begin(); result && manifest != configuration.manifests.end();
         ++manifest)
        result = write(fs::path{directory} / (manifest.key() + ".json"), *manifest);
    return result;
}

int dump_manifests(const Options& options)
{
    config::Diagnostics diagnostics;
    const auto manifests = config::load_all_manifests(options.load, diagnostics);
    print(diagnostics);
    if (!manifests)
        return 1;
    auto result = create(options.dump_manifests);
    for (auto manifest = manifests->begin(); result && manifest != manifests->end(); ++manifest)
        result = write(fs::path{options.dump_manifests} / (manifest.key() + ".yaml"), *manifest);
    if (!result)
        std::fprintf(stderr, "manager: %s\n", result.error().c_str());
    return result ? 0 : 1;
}

int check(const config::Configuration& configuration, const Options& options)
{
    // Judged as root on a charger would meet it, whoever checks.
    const config::PlanOptions plan_options{.root = true,
                                           .held = launcher::all_capabilities(),
                                           .prefix_output = false,
                                           .trusted_owner = 0,
                                           .environment = options.load.environment};
    config::Diagnostics found;
    config::make_plan(configuration, plan_options, found);
    config::Diagnostics shown;
    // A valid configuration may be checked where neither user nor modules are installed.
    for (const auto& item : found.all())
        shown.warning(item.location, item.message, item.hint, item.source);
    print(shown);
    std::fprintf(stderr, "%s: valid: %zu modules, %zu warnings\n",
                 configuration.settings.config_file.filename().c_str(), configuration.modules.size(),
                 shown.all().size());
    return 0;
}

} // namespace belay::manager
