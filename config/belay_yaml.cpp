// SPDX-License-Identifier: Apache-2.0
#include "config/capabilities.hpp"
#include "config/files.hpp"
#include "config/nearest.hpp"
#include "config/workspace.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace belay::config {

namespace {

struct LimitName
{
    const char* name;
    int resource;
    bool bytes; ///< may be written 64K, 16M, 2G
};

/// systemd.exec(5)'s names of setrlimit(2)'s resources.
constexpr std::array limit_names{
    LimitName{"LimitCPU", RLIMIT_CPU, false},          LimitName{"LimitFSIZE", RLIMIT_FSIZE, true},
    LimitName{"LimitDATA", RLIMIT_DATA, true},         LimitName{"LimitSTACK", RLIMIT_STACK, true},
    LimitName{"LimitCORE", RLIMIT_CORE, true},         LimitName{"LimitRSS", RLIMIT_RSS, true},
    LimitName{"LimitNOFILE", RLIMIT_NOFILE, false},    LimitName{"LimitAS", RLIMIT_AS, true},
    LimitName{"LimitNPROC", RLIMIT_NPROC, false},      LimitName{"LimitMEMLOCK", RLIMIT_MEMLOCK, true},
    LimitName{"LimitLOCKS", RLIMIT_LOCKS, false},      LimitName{"LimitSIGPENDING", RLIMIT_SIGPENDING, false},
    LimitName{"LimitMSGQUEUE", RLIMIT_MSGQUEUE, true}, LimitName{"LimitNICE", RLIMIT_NICE, false},
    LimitName{"LimitRTPRIO", RLIMIT_RTPRIO, false},    LimitName{"LimitRTTIME", RLIMIT_RTTIME, false},
};

constexpr std::array policies{std::pair{"never", RestartPolicy::When::never},
                              std::pair{"on-failure", RestartPolicy::When::on_failure},
                              std::pair{"always", RestartPolicy::When::always}};
constexpr std::array scopes{std::pair{"module", RestartPolicy::Scope::module},
                            std::pair{"all", RestartPolicy::Scope::all}};

std::optional<rlim_t> parse_limit(std::string_view text, bool bytes)
{
    constexpr std::string_view suffixes = "KMGT";
    if (text == "infinity")
        return RLIM_INFINITY;
    unsigned shift = 0;
    if (const auto suffix = text.empty() ? suffixes.npos : suffixes.find(text.back());
        bytes && suffix != suffixes.npos) {
        shift = 10 * (static_cast<unsigned>(suffix) + 1);
        text.remove_suffix(1);
    }
    rlim_t value = 0;
    const auto* end = text.data() + text.size();
    const auto [stop, code] = std::from_chars(text.data(), end, value);
    if (code != std::errc{} || stop != end || value > (RLIM_INFINITY - 1) >> shift)
        return std::nullopt;
    return value << shift;
}

class BelayYaml
{
public:
    explicit BelayYaml(Workspace& work) : work_(work) {}

    void read(const Node& root)
    {
        for (const auto& member : root.members) {
            if (member.key == "modules")
                modules(member.value);
            else if (member.key == "broker")
                broker(member.value);
            else
                unknown(member, {"modules", "broker"});
        }
    }

private:
    void unknown(const Member& member, const std::vector<std::string>& names)
    {
        report_error(work_.diagnostics, member.key_node, "unknown key `" + member.key + "`",
                     suggest(member.key, names));
    }

    bool is_mapping(const Node& node, const std::string& what, std::string hint = {})
    {
        if (!node.is(Node::Kind::mapping))
            report_error(work_.diagnostics, node, "`" + what + "` must be a mapping", std::move(hint));
        return node.is(Node::Kind::mapping);
    }

    void broker(const Node& node)
    {
        if (!is_mapping(node, "broker"))
            return;
        for (const auto& member : node.members) {
            if (member.key == "connect_timeout")
                work_.result.settings.broker.connect_timeout_ms = static_cast<std::uint32_t>(seconds(member).count());
            else
                unknown(member, {"connect_timeout"});
        }
    }

    void modules(const Node& node)
    {
        if (!is_mapping(node, "modules"))
            return;
        for (const auto& member : node.members) {
            warn_unknown_module(member);
            if (!is_mapping(member.value, member.key))
                continue;
            auto& policy = work_.result.policies[member.key];
            for (const auto& item : member.value.members) {
                if (item.key == "capabilities")
                    capabilities(item.value, policy);
                else if (item.key == "limits")
                    limits(item.value, policy);
                else if (item.key == "sandbox")
                    sandbox(item.value, member.key, policy);
                else if (item.key == "restart")
                    restart(item.value, policy.restart.emplace());
                else if (item.key == "startup")
                    timeout(item, policy.startup_timeout);
                else if (item.key == "shutdown")
                    timeout(item, policy.shutdown_timeout);
                else
                    unknown(item, {"capabilities", "limits", "restart", "sandbox", "shutdown", "startup"});
            }
        }
    }

    /// An installed module that this configuration does not use may be spoken of.
    void warn_unknown_module(const Member& member)
    {
        const auto* modules = std::as_const(work_.main).find("active_modules");
        auto known = modules == nullptr ? std::vector<std::string>{} : modules->keys();
        for (const auto& one : modules == nullptr ? std::vector<Member>{} : modules->members)
            known.push_back(one.value.string_at("module"));
        const auto installed = work_.result.settings.modules_dir / member.key / "manifest.yaml";
        if (member.key != "*" && std::find(known.begin(), known.end(), member.key) == known.end() &&
            !entry_exists(installed))
            report_warning(work_.diagnostics, member.key_node,
                           "`" + member.key + "` is neither the id nor the name of a module",
                           suggest(member.key, known));
    }

    void capabilities(const Node& node, ModulePolicy& policy)
    {
        policy.capabilities.emplace();
        if (!node.is(Node::Kind::sequence))
            report_error(work_.diagnostics, node, "`capabilities` must be a list", "write [] for none");
        for (const auto& item : node.items) {
            if (!item.is(Node::Kind::string))
                report_error(work_.diagnostics, item, "a capability must be a name such as CAP_NET_RAW");
            else if (!capability_number(item.text))
                report_error(work_.diagnostics, item, "there is no capability `" + item.text + '`',
                             suggest_capability(item.text));
            else
                policy.capabilities->push_back(item.text);
        }
    }

    void limits(const Node& node, ModulePolicy& policy)
    {
        if (!is_mapping(node, "limits"))
            return;
        for (const auto& member : node.members) {
            const auto* known = std::find_if(limit_names.begin(), limit_names.end(),
                                             [&](const LimitName& one) { return one.name == member.key; });
            if (known == limit_names.end()) {
                std::vector<std::string> names;
                for (const auto& one : limit_names)
                    names.emplace_back(one.name);
                unknown(member, names);
                continue;
            }
            const auto text =
                member.value.is(Node::Kind::integer) ? std::to_string(member.value.integer) : member.value.text;
            const auto colon = text.find(':');
            const auto soft = parse_limit(text.substr(0, colon), known->bytes);
            const auto hard = colon == std::string::npos ? soft : parse_limit(text.substr(colon + 1), known->bytes);
            if (!soft || !hard || *soft > *hard)
                report_error(work_.diagnostics, member.value, "`" + member.key + "` is no valid limit",
                             known->bytes ? "write bytes, 16M, infinity, or \"soft:hard\" with soft not above hard"
                                          : "write a number, infinity, or \"soft:hard\" with soft not above hard");
            else
                policy.limits.push_back({known->resource, *soft, *hard});
        }
    }

    /// `sandbox: standard`, `sandbox: off`, or a mapping of its parts to one of these.
    void sandbox(const Node& node, const std::string& module, ModulePolicy& policy)
    {
        auto& chosen = policy.sandbox.emplace();
        const std::array parts{std::pair{"landlock", &chosen.landlock}, std::pair{"seccomp", &chosen.seccomp}};
        if (!node.is(Node::Kind::mapping)) {
            chosen.landlock = chosen.seccomp = is_standard(node, "sandbox", module);
            return;
        }
        for (const auto& member : node.members) {
            const auto* part =
                std::find_if(parts.begin(), parts.end(), [&](const auto& one) { return one.first == member.key; });
            if (part == parts.end())
                unknown(member, {"landlock", "seccomp"});
            else
                *part->second = is_standard(member.value, member.key, module);
        }
    }

    void restart(const Node& node, RestartPolicy& chosen)
    {
        if (!is_mapping(node, "restart", "write restart: {policy: on-failure}"))
            return;
        const std::array durations{std::pair{"delay", &chosen.delay}, std::pair{"max_delay", &chosen.max_delay},
                                   std::pair{"stable_after", &chosen.stable_after}};
        for (const auto& member : node.members) {
            const auto* duration = std::find_if(durations.begin(), durations.end(),
                                                [&](const auto& one) { return one.first == member.key; });
            if (duration != durations.end())
                *duration->second = seconds(member);
            else if (member.key == "policy")
                chosen.policy = one_of(member, policies);
            else if (member.key == "scope")
                chosen.scope = one_of(member, scopes);
            else if (member.key == "burst")
                chosen.burst = static_cast<unsigned>(whole_number(member, 1, 1000));
            else if (member.key == "success_exit_status")
                exit_status(member, chosen.success_exit_status);
            else
                unknown(member,
                        {"burst", "delay", "max_delay", "policy", "scope", "stable_after", "success_exit_status"});
        }
        if (chosen.max_delay < chosen.delay)
            report_error(work_.diagnostics, node, "`max_delay` (60 unless given) is shorter than `delay`",
                         "let it be longer");
        if (const auto* scope = node.find("scope"); chosen.scope == RestartPolicy::Scope::all &&
                                                    chosen.policy == RestartPolicy::When::never && scope != nullptr)
            report_error(work_.diagnostics, *scope,
                         "`scope: all` contradicts the policy `never`, which starts nothing again",
                         "add policy: on-failure");
    }

    /// `startup` and `shutdown`; systemd's TimeoutStartSec= and TimeoutStopSec=.
    void timeout(const Member& item, std::optional<std::chrono::milliseconds>& chosen)
    {
        constexpr double shortest = 0.1;
        if (!is_mapping(item.value, item.key, "write " + item.key + ": {timeout: 10}"))
            return;
        for (const auto& member : item.value.members) {
            if (member.key == "timeout")
                chosen = seconds(member, shortest);
            else
                unknown(member, {"timeout"});
        }
    }

    template <typename Value, std::size_t size>
    Value one_of(const Member& member, const std::array<std::pair<const char*, Value>, size>& values)
    {
        std::vector<std::string> names;
        std::string list;
        for (const auto& [name, value] : values) {
            if (member.value.is(Node::Kind::string) && member.value.text == name)
                return value;
            names.emplace_back(name);
            list += (list.empty() ? "`" : names.size() == size ? "` or `" : "`, `") + names.back();
        }
        report_error(work_.diagnostics, member.value, "`" + member.key + "` must be " + list + '`',
                     suggest(member.value.text, names));
        return values.front().second;
    }

    std::chrono::milliseconds seconds(const Member& member, double shortest = 0)
    {
        constexpr double longest = 86400;
        const auto& value = member.value;
        const double given = value.is(Node::Kind::integer) ? value.integer : value.number;
        const bool number = value.is(Node::Kind::integer) || value.is(Node::Kind::number);
        if (number && given >= shortest && given <= longest)
            return std::chrono::milliseconds{std::lround(given * 1000)};
        report_error(work_.diagnostics, value,
                     "`" + member.key + "` must be seconds, from " + (shortest > 0 ? "0.1" : "0") + " to 86400",
                     "write a number such as 10 or 2.5, without quotes and without a unit");
        return {};
    }

    int whole_number(const Member& member, int least, int most)
    {
        const auto& value = member.value;
        if (value.is(Node::Kind::integer) && value.integer >= least && value.integer <= most)
            return value.integer;
        report_error(work_.diagnostics, value,
                     "`" + member.key + "` must be a whole number from " + std::to_string(least) + " to " +
                         std::to_string(most));
        return least;
    }

    /// Beside 0, as systemd's SuccessExitStatus= has it.
    void exit_status(const Member& member, std::set<int>& statuses)
    {
        constexpr int most = 255;
        if (!member.value.is(Node::Kind::sequence))
            report_error(work_.diagnostics, member.value, "`success_exit_status` must be a list", "write [3]");
        for (const auto& item : member.value.items)
            statuses.insert(whole_number({member.key, member.key_node, item}, 0, most));
    }

    bool is_standard(const Node& node, const std::string& what, const std::string& module)
    {
        if (node.is(Node::Kind::string) && node.text == "off")
            report_warning(work_.diagnostics, node, "`" + what + "` is off for `" + module + '`',
                           "remove this line if the module runs without it");
        else if (!node.is(Node::Kind::string) || node.text != "standard")
            report_error(work_.diagnostics, node, "`" + what + "` must be `standard` or `off`",
                         suggest(node.text, {"standard", "off"}));
        return node.text != "off";
    }

    Workspace& work_;
};

} // namespace

void load_belay_yaml(Workspace& work)
{
    const auto path = work.result.settings.config_file.parent_path() / "belay.yaml";
    if (!entry_exists(path))
        return;
    if (const auto root = work.read(path))
        BelayYaml{work}.read(*root);
}

} // namespace belay::config
