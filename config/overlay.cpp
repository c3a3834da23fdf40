// SPDX-License-Identifier: Apache-2.0
#include "config/files.hpp"
#include "config/workspace.hpp"
#include "config/yaml.hpp"

#include <set>
#include <unordered_map>
#include <utility>

namespace belay::config {

namespace {

/// What a patch adds has nothing to delete.
void drop_nulls(Node& node)
{
    std::erase_if(node.members, [](const Member& m) { return m.value.is(Node::Kind::null); });
    for (auto& member : node.members)
        drop_nulls(member.value);
}

/// RFC 7396; what the overlay says keeps the overlay's lines.
void merge(Node& target, Node patch)
{
    if (!patch.is(Node::Kind::mapping)) {
        target = std::move(patch);
        return;
    }
    if (!target.is(Node::Kind::mapping)) {
        drop_nulls(patch);
        target = std::move(patch);
        return;
    }
    std::unordered_map<std::string, std::size_t> places; // a long overlay must not cost its square
    for (std::size_t i = 0; i < target.members.size(); ++i)
        places.emplace(target.members[i].key, i);
    std::set<std::string> deleted;
    for (auto& member : patch.members) {
        const auto place = places.find(member.key);
        if (member.value.is(Node::Kind::null)) {
            deleted.insert(member.key);
        } else if (place == places.end()) {
            drop_nulls(member.value);
            target.members.push_back(std::move(member));
        } else {
            merge(target.members[place->second].value, std::move(member.value));
        }
    }
    std::erase_if(target.members, [&](const Member& m) { return deleted.contains(m.key); });
}

void refuse(Workspace& work, const Place& place, const std::string& key)
{
    report_error(work.diagnostics, place,
                 "`" + key + "` is not allowed in an overlay: with run_as_user it may change parameter values only",
                 "put it into " + work.result.settings.config_file.string());
}

void check_entry(Workspace& work, const Member& entry, const Node* modules)
{
    if (modules == nullptr || modules->find(entry.key) == nullptr) {
        refuse(work, entry.key_place, entry.key);
        return;
    }
    if (!entry.value.is(Node::Kind::mapping))
        refuse(work, entry.key_place, entry.key);
    for (const auto& member : entry.value.members) {
        const bool values = member.key == "config_module" || member.key == "config_implementation";
        if (!values)
            refuse(work, member.key_place, member.key);
        else if (!member.value.is(Node::Kind::mapping))
            refuse(work, member.value, member.key);
    }
}

/// The overlay may be written by the unprivileged user, so root takes no more than values from it.
void check_values_only(Workspace& work, const Node& overlay)
{
    const auto* modules = std::as_const(work.main).find("active_modules");
    for (const auto& member : overlay.members) {
        if (member.key == "x-module-layout")
            continue;
        if (member.key != "active_modules" || !member.value.is(Node::Kind::mapping)) {
            refuse(work, member.key_place, member.key);
            continue;
        }
        for (const auto& entry : member.value.members)
            check_entry(work, entry, modules);
    }
}

/// EVerest reads settings before the overlay: there they never had an effect.
void drop_settings(Workspace& work, Node& overlay)
{
    const auto* member = overlay.find_member("settings");
    if (member == nullptr)
        return;
    report_warning(work.diagnostics, member->key_place, "`settings` in an overlay have no effect",
                   "put them into " + work.result.settings.config_file.filename().string());
    std::erase_if(overlay.members, [](const Member& m) { return m.key == "settings"; });
}

/// A start goes on without it; a reload would take back what the modules have set.
void report_unusable(Workspace& work, const std::filesystem::path& path)
{
    const Location place{path.string(), 0, 0, 0};
    if (work.options.reloaded)
        work.diagnostics.error(place, "the overlay is unusable, and without it its values would be lost",
                               "repair it, or restart instead of reloading: the launcher reads as root without "
                               "privileges");
    else
        work.diagnostics.warning(place, "the overlay is unusable and is ignored", "repair it");
}

} // namespace

void apply_overlay(Workspace& work)
{
    const auto& settings = work.result.settings;
    if (settings.config_file.empty())
        return;
    const auto path = settings.config_file.parent_path() / "user-config" / settings.config_file.filename();
    if (!entry_exists(path))
        return;
    const bool untrusted = values_only(work.result);
    // With run_as_user the overlay may belong to that user, so the trust rule must not demand it of root.
    if (!untrusted)
        work.result.sources.insert(path);
    Diagnostics found;
    auto overlay = load_yaml(path, found, untrusted ? Links::refused : Links::followed);
    work.diagnostics.append_as_warnings(found);
    if (!overlay) {
        report_unusable(work, path);
        return;
    }
    work.result.values_of_others = untrusted;
    if (untrusted)
        check_values_only(work, *overlay);
    else
        drop_settings(work, *overlay);
    merge(work.main, std::move(*overlay));
    work.result.overlay = path;
}

} // namespace belay::config
