// SPDX-License-Identifier: Apache-2.0
#include "manager/database_store.hpp"

namespace belay::manager {

tl::expected<void, std::string> DatabaseStore::open()
{
    auto opened = Database::open(file_, configuration_.settings.data_dir / "migrations");
    if (!opened)
        return tl::unexpected(file_.string() + ": " + opened.error());
    database_.emplace(std::move(*opened));
    return {};
}

tl::expected<void, std::string> DatabaseStore::prepare(spdlog::logger& log)
{
    const bool nothing_to_keep = !configuration_.from_database && configuration_.settings.config_file.empty();
    if (nothing_to_keep)
        return {};
    if (configuration_.from_database)
        log.info("the modules are those of the database {}", file_.string());
    if (auto opened = open(); !opened) {
        if (!configuration_.from_database)
            return opened;
        log.warn("{}; until then, parameters cannot be changed at run time", opened.error());
        return {};
    }
    if (configuration_.from_database)
        return {};
    if (const auto written = database_->replace_modules(configuration_); !written)
        return tl::unexpected(file_.string() + ": " + written.error());
    log.info("{} is put into the database {}", configuration_.settings.config_file.string(), file_.string());
    return {};
}

tl::expected<void, std::string> DatabaseStore::write(std::span<const Setting> settings)
{
    if (database_ && database_->moved())
        database_.reset();
    if (!database_) // it may be mended by now
        if (auto opened = open(); !opened)
            return opened;
    const auto written = database_->write_values(settings);
    if (!written)
        return tl::unexpected(file_.string() + ": " + written.error());
    return {};
}

} // namespace belay::manager
