// SPDX-License-Identifier: Apache-2.0
#include "config/belay_keys.hpp"

namespace belay::config {

namespace {

using When = RestartPolicy::When;

constexpr std::array policies{Choice<When>{"never", When::never}, Choice<When>{"on-failure", When::on_failure},
                              Choice<When>{"always", When::always}};

using Scope = RestartPolicy::Scope;
constexpr std::array scopes{Choice<Scope>{"module", Scope::module}, Choice<Scope>{"all", Scope::all}};

/// Beside 0, as systemd's SuccessExitStatus= has it.
void read_exit_status(Reading& reading, const Member& member, RestartPolicy& policy)
{
    constexpr int most = 255;
    is_list(reading, member, "[3]");
    for (const auto& item : member.value.items)
        if (const auto status = whole_number(reading, {member.key, member.key_place, item}, 0, most))
            policy.success_exit_status.insert(*status);
}

void read_burst(Reading& reading, const Member& member, RestartPolicy& policy)
{
    constexpr int most = 1000;
    if (const auto burst = whole_number(reading, member, 1, most))
        policy.burst = static_cast<unsigned>(*burst);
}

using RestartKey = Key<RestartPolicy>;

constexpr std::array keys{
    RestartKey{"policy",
               [](auto& reading, auto& member, auto& to) { read_choice(reading, member, policies, to.policy); }},
    RestartKey{"delay", [](auto& reading, auto& member, auto& to) { read_seconds(reading, member, to.delay); }},
    RestartKey{"max_delay", [](auto& reading, auto& member, auto& to) { read_seconds(reading, member, to.max_delay); }},
    RestartKey{"stable_after",
               [](auto& reading, auto& member, auto& to) { read_seconds(reading, member, to.stable_after); }},
    RestartKey{"scope", [](auto& reading, auto& member, auto& to) { read_choice(reading, member, scopes, to.scope); }},
    RestartKey{"burst", read_burst},
    RestartKey{"success_exit_status", read_exit_status},
};

} // namespace

std::vector<std::string> restart_names()
{
    return names_of(keys);
}

void read_restart(Reading& reading, const Member& member, RestartPolicy& policy)
{
    policy.given = true;
    const auto meant = nearest(member.value.text, names_of(policies));
    read_mapping(reading, member, policy, keys, "restart: {policy: " + (meant.empty() ? "on-failure" : meant) + '}');
}

void check_restart(Reading& reading, const Place& place, const RestartPolicy& policy)
{
    if (policy.max_delay < policy.delay)
        report_error(reading.diagnostics, place, "`max_delay` (60 unless given) is shorter than `delay`",
                     "let it be longer");
    if (policy.scope == Scope::all && policy.policy == When::never)
        report_error(reading.diagnostics, place,
                     "`scope: all` contradicts the policy `never`, which starts nothing again",
                     "add policy: on-failure");
}

} // namespace belay::config
