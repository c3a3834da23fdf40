// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "manager/dialect.hpp"
#include "manager/topics.hpp"

#include <string>
#include <vector>

namespace belay::manager {

struct Message
{
    std::string topic;
    std::string payload;
};

/// The retained start-up metadata, in the order in which it is published and cleared: wire-protocol.md §5.
[[nodiscard]] std::vector<Message> make_metadata(const config::Configuration& configuration, const Topics& topics,
                                                 const Dialect& dialect);

} // namespace belay::manager
