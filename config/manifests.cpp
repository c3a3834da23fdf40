// SPDX-License-Identifier: Apache-2.0
#include "config/files.hpp"
#include "config/nearest.hpp"
#include "config/workspace.hpp"

#include <algorithm>
#include <utility>

namespace belay::config {

namespace fs = std::filesystem;

namespace {

/// EVerest's schema does not know `capabilities` in a manifest; validated by hand and kept out of the schema's sight.
std::optional<Member> take_capabilities(Workspace& work, Node& manifest)
{
    const auto* member = manifest.find_member("capabilities");
    if (member == nullptr)
        return std::nullopt;
    auto result = *member;
    std::erase_if(manifest.members, [](const Member& m) { return m.key == "capabilities"; });
    const auto& list = result.value.items;
    if (!result.value.is(Node::Kind::sequence) ||
        !std::all_of(list.begin(), list.end(), [](const Node& n) { return n.is(Node::Kind::string); }))
        report_error(work.diagnostics, result.value, "`capabilities` must be a list of names",
                     "write for example [CAP_NET_RAW]");
    return result;
}

/// "`x` of …" must be a plain name before it is used as a path.
bool is_plain_name(const std::string& name)
{
    return !name.empty() && name.front() != '.' && name.find('/') == std::string::npos;
}

} // namespace

tl::expected<std::vector<std::string>, std::string> installed_modules(const Settings& settings)
{
    std::vector<std::string> result;
    std::error_code error;
    for (fs::directory_iterator at{settings.modules_dir, error}; !error && at != fs::directory_iterator{};
         at.increment(error))
        if (entry_exists(at->path() / "manifest.yaml"))
            result.push_back(at->path().filename().string());
    std::sort(result.begin(), result.end());
    if (error)
        return tl::unexpected(error.message());
    return result;
}

void load_manifest(Workspace& work, const std::string& name, const Place& place)
{
    const auto& settings = work.result.settings;
    if (!is_plain_name(name) || settings.modules_dir.empty())
        return;
    const auto directory = settings.modules_dir / name;
    if (place.file && !entry_exists(directory)) {
        report_error(work.diagnostics, place,
                     "the module `" + name + "` is not installed: `" + directory.string() + "` does not exist",
                     suggest(name, installed_modules(settings).value_or(std::vector<std::string>{})));
        return;
    }
    if (!work.tried_manifests.insert(name).second)
        return;
    auto manifest = work.read(directory / "manifest.yaml");
    if (!manifest)
        return;
    auto capabilities = take_capabilities(work, *manifest);
    if (!work.validate("manifest", *manifest, "the manifest of " + name))
        return;
    if (capabilities)
        manifest->members.push_back(std::move(*capabilities));
    work.manifests.emplace(name, std::move(*manifest));
}

void check_manifest(Workspace& work, const std::string& name)
{
    const auto& manifest = work.manifests.at(name);
    if (const auto* map = manifest.find("config"); map != nullptr)
        check_declarations(work, *map, name);
    const auto* provides = manifest.find("provides");
    if (provides == nullptr)
        return;
    for (const auto& member : provides->members) {
        if (const auto* map = member.value.find("config"); map != nullptr)
            check_declarations(work, *map, "`" + member.key + "` of " + name);
        if (const auto* interface = member.value.find("interface"); interface != nullptr)
            load_interface(work, interface->text, *interface);
    }
}

namespace {

/// One connection of a configuration, taken apart.
struct Connection
{
    std::string requirement;
    std::string module_id;
    std::string implementation_id;
    const Node* node;
};

std::vector<Connection> connections_of(const Node& entry)
{
    std::vector<Connection> result;
    const auto* connections = entry.find("connections");
    if (connections == nullptr)
        return result;
    for (const auto& member : connections->members)
        for (const auto& item : member.value.items)
            result.push_back({member.key, item.string_at("module_id"), item.string_at("implementation_id"), &item});
    return result;
}

class ProbeManifest
{
public:
    ProbeManifest(Workspace& work, const Node& modules) : work_(work), modules_(modules) {}

    nlohmann::json make()
    {
        auto result = nlohmann::json{{"description", "ProbeModule (generated)"},
                                     {"metadata",
                                      {{"license", "https://opensource.org/licenses/Apache-2.0"},
                                       {"authors", nlohmann::json::array({"everest"})}}}};
        for (const auto& member : modules_.members)
            if (member.value.string_at("module") == "ProbeModule")
                add(member.key, member.value);
        if (provides_.empty())
            provides_["none"] = {{"interface", "empty"}, {"description", "none"}};
        result["provides"] = provides_;
        if (!requires_.empty())
            result["requires"] = requires_;
        return result;
    }

private:
    void add(const std::string& id, const Node& entry)
    {
        for (const auto& member : modules_.members)
            if (member.key != id)
                for (const auto& connection : connections_of(member.value))
                    if (connection.module_id == id)
                        provide(member.value, connection);
        for (const auto& connection : connections_of(entry))
            require(connection);
    }

    void provide(const Node& other, const Connection& connection)
    {
        const auto manifest = work_.manifests.find(other.string_at("module"));
        if (manifest == work_.manifests.end())
            return;
        const auto* requirements = manifest->second.find("requires");
        const auto* needed = requirements == nullptr ? nullptr : requirements->find(connection.requirement);
        if (needed == nullptr)
            return; // reported by check_wiring()
        const auto interface = needed->string_at("interface");
        const auto known = provides_.find(connection.implementation_id);
        if (known != provides_.end() && known->at("interface") != interface)
            report_error(work_.diagnostics, *connection.node,
                         "the ProbeModule's implementation `" + connection.implementation_id +
                             "` is needed with the interface `" + interface + "` here and with `" +
                             known->at("interface").get<std::string>() + "` elsewhere",
                         "use two implementation ids");
        provides_[connection.implementation_id] = {{"interface", interface}, {"description", "none"}};
    }

    /// A requirement is declared even where its connection is wrong, which is reported once, here.
    void require(const Connection& connection)
    {
        requires_.emplace(connection.requirement, nlohmann::json{{"interface", "empty"}});
        const auto* target = modules_.find(connection.module_id);
        if (target == nullptr) {
            report_error(work_.diagnostics, *connection.node,
                         "the ProbeModule refers to the module id `" + connection.module_id + "`, which does not exist",
                         suggest(connection.module_id, modules_.keys()));
            return;
        }
        const auto manifest = work_.manifests.find(target->string_at("module"));
        if (manifest == work_.manifests.end())
            return;
        const auto* provides = manifest->second.find("provides");
        const auto* implementation = provides == nullptr ? nullptr : provides->find(connection.implementation_id);
        if (implementation == nullptr) {
            report_error(work_.diagnostics, *connection.node,
                         "the ProbeModule needs `" + connection.implementation_id + "` of the module `" +
                             connection.module_id + "`, which does not provide it",
                         provides == nullptr ? "" : suggest(connection.implementation_id, provides->keys()));
            return;
        }
        const auto interface = implementation->string_at("interface");
        const auto [known, fresh] = interfaces_.try_emplace(connection.requirement, interface);
        if (known->second != interface)
            report_error(work_.diagnostics, *connection.node,
                         "the ProbeModule's requirement `" + connection.requirement + "` mixes the interfaces `" +
                             known->second + "` and `" + interface + "`",
                         "use two requirement ids");
        const auto count = counts_[connection.requirement] += 1;
        requires_[connection.requirement] = {{"interface", known->second}};
        if (count > 1)
            requires_[connection.requirement]["max_connections"] = count;
    }

    Workspace& work_;
    const Node& modules_;
    nlohmann::json provides_ = nlohmann::json::object();
    nlohmann::json requires_ = nlohmann::json::object();
    std::map<std::string, std::string> interfaces_; ///< of the requirements that lead somewhere
    std::map<std::string, int> counts_;
};

} // namespace

void synthesise_probe_manifest(Workspace& work)
{
    const auto& modules = *std::as_const(work.main).find("active_modules");
    auto manifest = from_json(ProbeManifest{work, modules}.make(), modules);
    work.validate("manifest", manifest, "the generated manifest of ProbeModule");
    work.manifests.emplace("ProbeModule", std::move(manifest));
}

} // namespace belay::config
