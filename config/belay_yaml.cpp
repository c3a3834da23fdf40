// SPDX-License-Identifier: Apache-2.0
#include "config/belay_help.hpp"
#include "config/belay_keys.hpp"
#include "config/capabilities.hpp"
#include "config/files.hpp"
#include "config/workspace.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iterator>
#include <utility>

namespace belay::config {

namespace {

void read_capabilities(Reading& reading, const Member& member, ModulePolicy& policy)
{
    std::vector<Named> names;
    read_names(reading, member, names);
    policy.capabilities.emplace();
    for (auto& item : names) {
        if (!capability_number(item.name))
            reading.diagnostics.error(item.origin.location, "there is no capability `" + item.name + '`',
                                      suggest_capability(item.name), item.origin.source);
        else
            policy.capabilities->push_back(std::move(item.name));
    }
}

/// A name or a number.
void read_user(Reading& reading, const Member& member, ModulePolicy& policy)
{
    auto user = named(member.value);
    if (member.value.is(Node::Kind::integer))
        user.name = std::to_string(member.value.integer);
    if (user.name.empty() || user.name == "root" || user.name == "0" || user.name.starts_with('-'))
        report_error(reading.diagnostics, member.value,
                     "`user` must be the name or number of a user other than root, or `dynamic`");
    else
        policy.user = std::move(user);
}

constexpr std::chrono::milliseconds shortest_timeout{100};

constexpr std::array startup_keys{Key<ModulePolicy>{"timeout", [](auto& reading, auto& member, auto& to) {
                                                        if (const auto timeout =
                                                                seconds(reading, member, shortest_timeout))
                                                            to.startup_timeout = *timeout;
                                                    }}};
constexpr std::array shutdown_keys{
    Key<ModulePolicy>{"timeout",
                      [](auto& reading, auto& member, auto& to) {
                          to.shutdown_timeout =
                              seconds(reading, member, shortest_timeout).value_or(to.shutdown_timeout);
                      }},
    Key<ModulePolicy>{"request_timeout", [](auto& reading, auto& member, auto& to) {
                          if (const auto timeout = seconds(reading, member, shortest_timeout))
                              to.request_timeout = *timeout;
                      }}};

using ModuleKey = Key<ModulePolicy>;

constexpr ModuleKey user_key{"user", read_user};
constexpr ModuleKey groups_key{"groups",
                               [](auto& reading, auto& member, auto& to) { read_names(reading, member, to.groups); }};
constexpr ModuleKey limits_key{"limits",
                               [](auto& reading, auto& member, auto& to) { read_limits(reading, member, to.limits); }};

constexpr std::array module_keys{
    ModuleKey{"capabilities", read_capabilities},
    ModuleKey{"environment",
              [](auto& reading, auto& member, auto& to) { read_environment(reading, member, to.environment); }},
    groups_key,
    limits_key,
    ModuleKey{"liveness", [](auto& reading, auto& member, auto& to) { read_liveness(reading, member, to.liveness); }},
    ModuleKey{"pass_environment",
              [](auto& reading, auto& member, auto& to) { read_variable_names(reading, member, to.pass_environment); }},
    ModuleKey{"restart", [](auto& reading, auto& member, auto& to) { read_restart(reading, member, to.restart); }},
    ModuleKey{"startup", // systemd's TimeoutStartSec=
              [](auto& reading, auto& member, auto& to) {
                  read_mapping(reading, member, to, startup_keys, example_of(member, "timeout", "10"));
              }},
    ModuleKey{"shutdown", // systemd's TimeoutStopSec=
              [](auto& reading, auto& member, auto& to) {
                  read_mapping(reading, member, to, shutdown_keys, example_of(member, "timeout", "10"));
              }},
    ModuleKey{"sandbox", [](auto& reading, auto& member, auto& to) { read_sandbox(reading, member, to.sandbox); }},
    user_key,
};

constexpr std::array manager_keys{groups_key, limits_key, user_key};

void read_connect_timeout(Reading& reading, const Member& member, Broker& broker)
{
    std::chrono::milliseconds timeout{broker.connect_timeout_ms};
    read_seconds(reading, member, timeout);
    broker.connect_timeout_ms = static_cast<std::uint32_t>(timeout.count());
}

/// The names that manager/dialect.hpp gives them: the first release of EVerest that speaks it.
constexpr std::array dialects{Choice<const char*>{"auto", ""},           Choice<const char*>{"2024.11", "2024.11"},
                              Choice<const char*>{"2025.1", "2025.1"},   Choice<const char*>{"2025.6", "2025.6"},
                              Choice<const char*>{"2025.12", "2025.12"}, Choice<const char*>{"2026.10", "2026.10"}};

/// Year and month of a release, as they compare; nothing if `text` is none.
std::optional<std::pair<int, int>> release_of(std::string_view text)
{
    std::pair<int, int> result;
    const auto* end = text.data() + text.size();
    const auto year = std::from_chars(text.data(), end, result.first);
    if (year.ec != std::errc{} || year.ptr == end || *year.ptr != '.')
        return std::nullopt;
    const auto month = std::from_chars(year.ptr + 1, end, result.second);
    return month.ec == std::errc{} && (month.ptr == end || *month.ptr == '.') ? std::optional{result} : std::nullopt;
}

/// The dialect of any release: the last one that had begun by then. Empty if there is none.
std::string dialect_of(std::string_view text)
{
    const auto release = release_of(text);
    std::string result;
    for (const auto& dialect : dialects)
        if (release && release_of(dialect.name) && *release_of(dialect.name) <= *release)
            result = dialect.name;
    return result;
}

/// YAML takes 2025.10 for the number 2025.1, so the name is a string; and it is that of the first release which speaks
/// so.
void read_dialect(Reading& reading, const Member& member, Broker& broker)
{
    const auto& text = member.value.text;
    const auto dialect = dialect_of(text);
    const auto hint = dialect.empty() ? std::string{} : "write dialect: \"" + dialect + '"';
    if (member.value.is(Node::Kind::number))
        return report_error(reading.diagnostics, member.value, "`dialect` must be a string",
                            hint.empty() ? "write dialect: \"2025.6\"" : hint);
    if (!dialect.empty() && dialect != text)
        return report_error(reading.diagnostics, member.value,
                            "`dialect` must be the first release that speaks as " + text + " does", hint);
    const char* chosen = broker.dialect.c_str();
    read_choice(reading, member, dialects, chosen);
    broker.dialect = std::string{chosen};
}

constexpr std::array broker_keys{Key<Broker>{"connect_timeout", read_connect_timeout},
                                 Key<Broker>{"dialect", read_dialect},
                                 Key<Broker>{"recover",
                                             [](auto& reading, auto& member, auto& to) {
                                                 bool recover = to.recover.value_or(false);
                                                 read_boolean(reading, member, recover);
                                                 to.recover = recover;
                                             }},
                                 Key<Broker>{"reconnect_timeout", [](auto& reading, auto& member, auto& to) {
                                                 if (const auto timeout = seconds(reading, member, shortest_timeout))
                                                     to.reconnect_timeout = *timeout;
                                             }}};

void check_policy(Reading& reading, const Place& place, const ModulePolicy& policy)
{
    check_limits(reading, place, policy.limits);
    check_restart(reading, place, policy.restart);
    check_sandbox(reading, place, policy.sandbox);
}

/// An installed module that this configuration does not use may be spoken of.
void warn_unknown_module(Workspace& work, const Member& member)
{
    const auto* modules = std::as_const(work.main).find("active_modules");
    auto known = modules == nullptr ? std::vector<std::string>{} : modules->keys();
    for (const auto& one : modules == nullptr ? std::vector<Member>{} : modules->members)
        known.push_back(one.value.string_at("module"));
    const auto installed = work.result.settings.modules_dir / member.key / "manifest.yaml";
    if (member.key != "*" && std::find(known.begin(), known.end(), member.key) == known.end() &&
        !entry_exists(installed))
        report_warning(work.diagnostics, member.key_place,
                       "`" + member.key + "` is neither the id nor the name of a module", suggest(member.key, known));
}

/// Each entry by itself; policy_of() puts them together.
void read_modules(Workspace& work, const Member& member)
{
    Reading reading{work.diagnostics, {}};
    if (!is_mapping(reading, member))
        return;
    for (const auto& entry : member.value.members) {
        reading.subject = entry.key;
        ModulePolicy policy;
        read_mapping(reading, entry, policy, module_keys);
    }
    work.module_policies = member.value;
}

/// Whatever it restricts, it would not.
void warn_misspelt(Workspace& work, const std::filesystem::path& directory)
{
    std::error_code error;
    for (std::filesystem::directory_iterator at{directory, error}, end; !error && at != end; at.increment(error)) {
        const auto name = at->path().filename().string();
        std::string lower;
        std::ranges::transform(name, std::back_inserter(lower),
                               [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (name != "belay.yaml" && (lower == "belay.yaml" || lower == "belay.yml"))
            work.diagnostics.warning({at->path().string(), 0, 0, 0},
                                     "this file is not read: its name is not belay.yaml",
                                     "rename it to belay.yaml, or remove it");
    }
}

using Section = Key<Workspace>;

constexpr std::array sections{
    Section{"broker", [](auto& reading, auto& member,
                         auto& work) { read_mapping(reading, member, work.result.settings.broker, broker_keys); }},
    Section{"manager",
            [](auto& reading, auto& member, auto& work) {
                read_mapping(reading, member, work.result.manager, manager_keys);
                check_policy(reading, member.key_place, work.result.manager);
            }},
    Section{"modules", [](auto& /*reading*/, auto& member, auto& work) { read_modules(work, member); }},
    Section{"watchdog",
            [](auto& reading, auto& member, auto& work) { read_watchdog(reading, member, work.result.watchdog); }},
};

} // namespace

std::vector<std::string> belay_yaml_keys()
{
    std::vector<std::string> result;
    const auto add = [&](const std::string& above, const std::vector<std::string>& names) {
        for (const auto& name : names)
            result.push_back(above + name);
    };
    add("", names_of(sections));
    add("broker.", names_of(broker_keys));
    add("manager.", names_of(manager_keys));
    add("modules.", names_of(module_keys));
    add("modules.limits.", limit_names());
    add("modules.liveness.", liveness_names());
    add("modules.restart.", restart_names());
    add("modules.sandbox.", sandbox_names());
    add("modules.shutdown.", names_of(shutdown_keys));
    add("modules.startup.", names_of(startup_keys));
    add("watchdog.", watchdog_names());
    std::ranges::sort(result);
    return result;
}

void load_belay_yaml(Workspace& work)
{
    const auto& settings = work.result.settings;
    const auto directory = settings.config_file.empty() ? settings.etc_dir : settings.config_file.parent_path();
    warn_misspelt(work, directory);
    const auto path = directory / "belay.yaml";
    if (!entry_exists(path))
        return;
    work.result.belay_yaml = path;
    Reading reading{work.diagnostics, "belay.yaml"};
    if (const auto root = work.read(path, Dialect::strict))
        read_mapping(reading, *root, work, sections);
}

void check_belay_modules(Workspace& work)
{
    for (const auto& entry : work.module_policies.members)
        warn_unknown_module(work, entry);
}

ModulePolicy policy_of(Workspace& work, const std::string& id, const std::string& name)
{
    ModulePolicy result;
    const Member* most_specific = nullptr;
    Diagnostics reported; // when the entries were read
    Reading reading{reported, id};
    for (const auto& key : {std::string{"*"}, name, id}) {
        const auto* entry = work.module_policies.find_member(key);
        if (entry == nullptr || (entry == most_specific))
            continue;
        most_specific = entry;
        read_mapping(reading, entry->value, result, module_keys);
    }
    Reading checking{work.diagnostics, id};
    if (most_specific != nullptr && !reported.has_errors())
        check_policy(checking, most_specific->key_place, result);
    if (work.options.recover_module_crashes && !result.restart.given)
        result.restart = everest_recovery();
    return result;
}

} // namespace belay::config
