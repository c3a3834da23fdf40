// SPDX-License-Identifier: Apache-2.0
#include "manager/timeline.hpp"

#include "manager/json_guard.hpp"

#include <unistd.h>

namespace belay::manager {

void Timeline::record(std::string_view event, std::string_view module, pid_t pid, std::uint64_t now_ns)
{
    if (!file_)
        return;
    constexpr double ns_per_ms = 1e6;
    const auto elapsed_ns = static_cast<std::int64_t>(now_ns) - static_cast<std::int64_t>(start_ns_);
    nlohmann::json entry{{"event", event}, {"t_ms", static_cast<double>(elapsed_ns) / ns_per_ms}};
    if (!module.empty())
        entry["module"] = module;
    if (pid != 0)
        entry["pid"] = pid;
    const auto line = serialize(entry) + "\n";
    if (::write(file_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
        file_.reset();
}

} // namespace belay::manager
