// SPDX-License-Identifier: Apache-2.0
#include "manager/own_unit.hpp"

#include "manager/file_text.hpp"

#include <algorithm>

namespace belay::manager {

namespace {

std::string_view cut(std::string_view& text, char end)
{
    const auto size = std::min(text.find(end), text.size());
    const auto part = text.substr(0, size);
    text.remove_prefix(std::min(size + 1, text.size()));
    return part;
}

/// Of "ID:CONTROLLERS:/PATH" (cgroups(7)), where that is systemd's own hierarchy; empty: it is another one.
std::string_view path_for_systemd(std::string_view line)
{
    cut(line, ':');
    const auto controllers = cut(line, ':');
    return controllers.empty() || controllers == "name=systemd" ? line.substr(std::min<std::size_t>(line.size(), 1))
                                                                : std::string_view{};
}

/// A name that the kernel would take for a file of its own begins with an underscore there; no unit's does.
std::string first_unit(std::string_view path)
{
    while (!path.empty()) {
        auto part = cut(path, '/');
        if (part.ends_with(".slice"))
            continue;
        if (part.starts_with('_'))
            part.remove_prefix(1);
        return part.ends_with(".service") || part.ends_with(".scope") ? std::string{part} : std::string{};
    }
    return {};
}

} // namespace

std::string unit_of(std::string_view cgroups)
{
    while (!cgroups.empty())
        if (auto unit = first_unit(path_for_systemd(cut(cgroups, '\n'))); !unit.empty())
            return unit;
    return {};
}

std::string own_unit()
{
    return unit_of(text_of("/proc/self/cgroup"));
}

} // namespace belay::manager
