// SPDX-License-Identifier: Apache-2.0
#include "manager/boot_source.hpp"

#include "config/configuration.hpp"
#include "launcher/trust.hpp"
#include "manager/database_reader.hpp"
#include "manager/handover.hpp"
#include "manager/trust_check.hpp"

#include <filesystem>

#include <sys/stat.h>
#include <unistd.h>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

using Stored = tl::expected<config::StoredModules, std::string>;

/// Whom the manager will be.
tl::expected<launcher::ProcessPlan, std::string> identity_of_manager(const config::Configuration& so_far,
                                                                     const Options& options)
{
    const auto held = held_capabilities();
    if (!held)
        return tl::unexpected("is not read: " + held.error());
    config::PlanOptions how;
    how.root = ::geteuid() == 0;
    how.held = *held;
    how.environment = options.load.environment;
    config::Diagnostics found;
    auto plan = config::make_manager_plan(so_far, how, found);
    if (plan)
        return std::move(*plan);
    for (const auto& problem : found.all())
        if (problem.severity == config::Severity::error)
            return tl::unexpected("is not read: " + problem.message +
                                  (problem.hint.empty() ? "" : "; " + problem.hint));
    return tl::unexpected(std::string{"is not read: there is no user for the manager"});
}

/// The file and what SQLite puts beside it; nobody else may put it there first, so sticky is not enough.
tl::expected<void, std::string> must_be_roots(fs::path file, uid_t trusted_owner)
{
    const std::string why = "; root opens only a database that nobody else can write";
    std::error_code error;
    if (auto real = fs::weakly_canonical(file, error); !error)
        file = std::move(real);
    for (const auto* suffix : {"", "-wal", "-shm", "-journal"})
        if (const auto path = file.string() + suffix; fs::exists(fs::symlink_status(path, error)))
            if (const auto opened = launcher::open_trusted(path, trusted_owner); !opened)
                return tl::unexpected("is not read: " + opened.error() + why);
    auto directory = file.parent_path();
    while (directory.has_relative_path() && !fs::exists(directory, error))
        directory = directory.parent_path();
    const auto opened = launcher::open_trusted(directory.string(), trusted_owner);
    if (!opened)
        return tl::unexpected("is not read: " + opened.error() + why);
    constexpr auto writers = fs::perms::group_write | fs::perms::others_write;
    if ((fs::status(directory, error).permissions() & writers) != fs::perms::none)
        return tl::unexpected("is not read: others can create files in " + directory.string() + why);
    return {};
}

Stored read(const config::Configuration& so_far, const Options& options)
{
    const auto identity = identity_of_manager(so_far, options);
    if (!identity)
        return tl::unexpected(identity.error());
    const bool compared = !so_far.settings.config_file.empty();
    if (::geteuid() == 0 && !(identity->change_identity && compared)) {
        const auto owner = trusted_owner(options.trust_files_of);
        if (!owner)
            return tl::unexpected("is not read: " + owner.error());
        if (const auto trusted = must_be_roots(options.database, *owner); !trusted)
            return tl::unexpected(trusted.error());
    }
    return read_database(options.database, so_far.settings.data_dir / "migrations", *identity);
}

} // namespace

void choose_source(Options& options)
{
    if (options.database.empty())
        return;
    options.database = fs::absolute(options.database).lexically_normal().string();
    options.load.database = options.database;
    if (options.check || !options.dump_manifests.empty()) // they ask about files
        return;
    options.load.read_database = [&options](const config::Configuration& so_far) -> Stored {
        return options.reset_from_yaml ? Stored{} : read(so_far, options);
    };
}

} // namespace belay::manager
