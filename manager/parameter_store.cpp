// SPDX-License-Identifier: Apache-2.0
#include "manager/parameter_store.hpp"

#include "manager/database_store.hpp"
#include "manager/overlay_file.hpp"

namespace belay::manager {

std::unique_ptr<ParameterStore> make_store(const config::Configuration& configuration, const Options& options)
{
    if (options.database.empty())
        return std::make_unique<OverlayFile>(configuration);
    return std::make_unique<DatabaseStore>(configuration, options.database);
}

} // namespace belay::manager
