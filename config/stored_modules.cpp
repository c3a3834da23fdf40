// SPDX-License-Identifier: Apache-2.0
//
// The modules that a configuration database holds, in place of the file's.
#include "config/workspace.hpp"

#include <limits>
#include <memory>
#include <utility>

namespace belay::config {

namespace {

const char* const reset_hint = "put it into the configuration, or start once with --reset-from-yaml";

/// Integers are 32 bits here, as in the file.
bool integers_fit(const nlohmann::json& value)
{
    if (value.is_number_unsigned())
        return value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<int>::max());
    if (value.is_number_integer())
        return value.get<std::int64_t>() >= std::numeric_limits<int>::min() &&
               value.get<std::int64_t>() <= std::numeric_limits<int>::max();
    if (value.is_structured())
        for (const auto& item : value)
            if (!integers_fit(item))
                return false;
    return true;
}

Member& member_of(Node& mapping, const std::string& key)
{
    for (auto& member : mapping.members)
        if (member.key == key)
            return member;
    mapping.members.push_back({key, {}, {}});
    return mapping.members.back();
}

/// Compares with what root wrote, and complains of each difference.
class Comparison
{
public:
    Comparison(Workspace& work, const Node& ours, const Node& stored) : work_(work), ours_(ours), stored_(stored) {}

    void run()
    {
        for (const auto& member : stored_.members)
            if (const auto* entry = ours_.find(member.key); entry == nullptr)
                refuse("has the module `" + member.key + "`, which is not in " + file());
            else
                compare(member.key, *entry, member.value);
        for (const auto& member : ours_.members)
            if (stored_.find(member.key) == nullptr)
                refuse("lacks the module `" + member.key + "` of " + file());
    }

private:
    void compare(const std::string& id, const Node& ours, const Node& stored)
    {
        const auto expected = structure_of(ours);
        const auto found = structure_of(stored);
        for (const auto& [key, value] : expected.items())
            if (found[key] != value)
                refuse("has another `" + key + "` for the module `" + id + "` than " + file());
    }

    void refuse(const std::string& what)
    {
        report_error(work_.diagnostics, stored_, what + ": with run_as_user it may change parameter values only",
                     reset_hint);
    }

    [[nodiscard]] std::string file() const { return work_.result.settings.config_file.string(); }

    Workspace& work_;
    const Node& ours_;
    const Node& stored_;
};

/// Of each module its values; the rest stays the file's.
void take_values(Node& ours, Node stored)
{
    for (auto& entry : ours.members) {
        auto* found = stored.find(entry.key);
        if (found == nullptr || !entry.value.is(Node::Kind::mapping))
            continue;
        for (const auto* key : {"config_module", "config_implementation"}) {
            std::erase_if(entry.value.members, [&](const Member& m) { return m.key == key; });
            if (auto* values = found->find(key); values != nullptr)
                member_of(entry.value, key).value = std::move(*values);
        }
    }
}

/// The database has no place for it.
void keep_telemetry(const Node& ours, Node& stored)
{
    for (auto& entry : stored.members) {
        const auto* former = ours.find(entry.key);
        if (former == nullptr || former->string_at("module") != entry.value.string_at("module"))
            continue;
        if (const auto* telemetry = former->find_member("telemetry"); telemetry != nullptr)
            entry.value.members.push_back(*telemetry);
    }
}

void replace_modules(Workspace& work, Node stored)
{
    auto& modules = member_of(work.main, "active_modules").value;
    if (values_only(work.result)) {
        Comparison{work, modules, stored}.run();
        take_values(modules, std::move(stored));
    } else {
        keep_telemetry(modules, stored);
        modules = std::move(stored);
    }
}

} // namespace

bool values_only(const Configuration& configuration)
{
    const auto& settings = configuration.settings;
    return !settings.config_file.empty() && (!settings.run_as_user.empty() || configuration.manager.user);
}

bool apply_database(Workspace& work)
{
    if (!work.options.read_database)
        return false;
    const Location place{work.options.database, 0, 0, 0};
    work.result.values_of_others = true;
    auto stored = work.options.read_database(work.result);
    if (!stored) {
        work.diagnostics.error(place, stored.error());
        return true;
    }
    if (!stored->active_modules)
        return false;
    if (!stored->active_modules->is_object() || !integers_fit(*stored->active_modules)) {
        work.diagnostics.error(place, "what was read from it are no modules of EVerest");
        return true;
    }
    Node whole;
    whole.file = std::make_shared<SourceFile>(work.options.database, std::string{});
    replace_modules(work, from_json(*stored->active_modules, whole));
    return true;
}

} // namespace belay::config
