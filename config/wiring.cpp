// SPDX-License-Identifier: Apache-2.0
#include "config/nearest.hpp"
#include "config/workspace.hpp"

#include <utility>

namespace belay::config {

namespace {

class Wiring
{
public:
    Wiring(Workspace& work, const Node& modules) : work_(work), modules_(modules) {}

    void check(const std::string& id, const Node& entry)
    {
        const auto* manifest = manifest_of(entry);
        if (manifest == nullptr)
            return;
        const Node none;
        const auto* wanted = manifest->find("requires");
        const auto* given = entry.find("connections");
        if (given != nullptr && !given->is(Node::Kind::mapping))
            return; // reported by the schema
        const auto& requirements = wanted == nullptr ? none : *wanted;
        for (const auto& member : (given == nullptr ? none : *given).members)
            if (requirements.find(member.key) == nullptr)
                report_error(work_.diagnostics, member.key_place,
                             "module `" + id + "` has no requirement `" + member.key + "`",
                             suggest(member.key, requirements.keys()));
        for (const auto& member : requirements.members)
            check_requirement(id, entry, member.key, member.value, given);
    }

private:
    const Node* manifest_of(const Node& entry) const
    {
        const auto found = work_.manifests.find(entry.string_at("module"));
        return found == work_.manifests.end() ? nullptr : &found->second;
    }

    static int count_of(const Node& requirement, const char* key)
    {
        const auto* node = requirement.find(key);
        return node != nullptr && node->is(Node::Kind::integer) ? static_cast<int>(node->integer) : 1;
    }

    void check_requirement(const std::string& id, const Node& entry, const std::string& name, const Node& requirement,
                           const Node* given)
    {
        const int least = count_of(requirement, "min_connections");
        const int most = count_of(requirement, "max_connections");
        const auto* member = given == nullptr ? nullptr : given->find_member(name);
        const auto interface = requirement.string_at("interface");
        if (member == nullptr) {
            const auto* place = entry.find("module");
            if (least >= 1)
                report_error(work_.diagnostics, place == nullptr ? entry : *place,
                             "module `" + id + "` needs a connection for `" + name + "` (interface " + interface + ")",
                             "add it to `connections`");
            return;
        }
        if (!member->value.is(Node::Kind::sequence))
            return; // reported by the schema
        const auto count = member->value.items.size();
        if (std::cmp_less(count, least) || std::cmp_greater(count, most))
            report_error(work_.diagnostics, member->key_place,
                         "the requirement `" + name + "` of module `" + id + "` has " + std::to_string(count) +
                             (count == 1 ? " connection" : " connections") + ", it takes " + std::to_string(least) +
                             " to " + std::to_string(most));
        for (const auto& connection : member->value.items)
            check_connection(id, name, interface, connection);
    }

    void check_connection(const std::string& id, const std::string& requirement, const std::string& interface,
                          const Node& connection)
    {
        const auto* target_id = connection.find("module_id");
        const auto* implementation_id = connection.find("implementation_id");
        if (target_id == nullptr || implementation_id == nullptr)
            return;
        if (modules_.find(id)->string_at("module") == "ProbeModule")
            return; // its requirements are derived from its connections
        const auto what = "the requirement `" + requirement + "` of module `" + id + "` ";
        const auto* target = modules_.find(target_id->text);
        if (target == nullptr) {
            report_error(work_.diagnostics, *target_id,
                         what + "refers to the module id `" + target_id->text + "`, which does not exist",
                         suggest(target_id->text, modules_.keys()));
            return;
        }
        if (target->string_at("module") == "ProbeModule")
            return; // and so is what it provides
        const auto* manifest = manifest_of(*target);
        const auto* provides = manifest == nullptr ? nullptr : manifest->find("provides");
        if (provides == nullptr)
            return;
        const auto* implementation = provides->find(implementation_id->text);
        if (implementation == nullptr)
            report_error(work_.diagnostics, *implementation_id,
                         what + "needs `" + implementation_id->text + "` of `" + target_id->text +
                             "`, which does not provide it",
                         suggest(implementation_id->text, provides->keys()));
        else if (implementation->string_at("interface") != interface)
            report_error(work_.diagnostics, *implementation_id,
                         what + "wants the interface `" + interface + "`, but `" + implementation_id->text + "` of `" +
                             target_id->text + "` has `" + implementation->string_at("interface") + "`");
    }

    Workspace& work_;
    const Node& modules_;
};

} // namespace

void check_wiring(Workspace& work)
{
    const auto* modules = std::as_const(work.main).find("active_modules");
    for (const auto& member : modules->members)
        Wiring{work, *modules}.check(member.key, member.value);
}

} // namespace belay::config
