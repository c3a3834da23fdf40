// SPDX-License-Identifier: Apache-2.0
#include "config/belay_keys.hpp"
#include "config/system_calls.hpp"

#include <utility>

namespace belay::config {

namespace {

constexpr std::array confinements{Choice<Confinement>{"standard", Confinement::standard},
                                  Choice<Confinement>{"strict", Confinement::strict},
                                  Choice<Confinement>{"off", Confinement::off}};
constexpr std::array networks{Choice<launcher::Network>{"host", launcher::Network::host},
                              Choice<launcher::Network>{"loopback", launcher::Network::loopback},
                              Choice<launcher::Network>{"off", launcher::Network::none}};

void read_confinement(Reading& reading, const Member& member, Confinement& value)
{
    read_choice(reading, member, confinements, value);
    if (value == Confinement::off)
        report_warning(reading.diagnostics, member.value, '`' + member.key + "` is off for `" + reading.subject + '`',
                       "remove this line if the module runs without it");
}

void read_no_new_privileges(Reading& reading, const Member& member, Sandbox& sandbox)
{
    read_boolean(reading, member, sandbox.no_new_privileges);
    if (!sandbox.no_new_privileges)
        report_warning(reading.diagnostics, member.value,
                       '`' + reading.subject +
                           "` may become root through setuid programs, and has neither Landlock nor seccomp: without "
                           "no_new_privs, no unprivileged process can have them",
                       "remove this line if the module runs without it");
}

void read_system_calls(Reading& reading, const Member& member, Sandbox& sandbox)
{
    std::vector<Named> names;
    read_names(reading, member, names);
    sandbox.system_calls.clear();
    for (const auto& item : names)
        sandbox.system_calls.push_back(item.name);
    if (const auto resolved = resolve_system_calls(sandbox.system_calls); !resolved)
        for (const auto& unknown : resolved.error()) {
            const auto& origin = names.at(unknown.entry).origin;
            reading.diagnostics.error(origin.location, "there is no system call or group `" + unknown.name + '`',
                                      unknown.suggestion, origin.source);
        }
}

void read_devices(Reading& reading, const Member& member, Sandbox& sandbox)
{
    read_paths(reading, member, sandbox.devices.emplace());
    for (const auto& device : *sandbox.devices)
        if (device.name.starts_with('/') && !device.name.starts_with("/dev/"))
            reading.diagnostics.error(device.origin.location, '`' + device.name + "` is not below /dev",
                                      "write for example /dev/ttyUSB0", device.origin.source);
}

using SandboxKey = Key<Sandbox>;

constexpr std::array keys{
    SandboxKey{"landlock",
               [](auto& reading, auto& member, auto& to) { read_confinement(reading, member, to.landlock); }},
    SandboxKey{"seccomp", [](auto& reading, auto& member, auto& to) { read_confinement(reading, member, to.seccomp); }},
    SandboxKey{"require", [](auto& reading, auto& member, auto& to) { read_boolean(reading, member, to.require); }},
    SandboxKey{"no_new_privileges", read_no_new_privileges},
    SandboxKey{"read", [](auto& reading, auto& member, auto& to) { read_paths(reading, member, to.read); }},
    SandboxKey{"write", [](auto& reading, auto& member, auto& to) { read_paths(reading, member, to.write); }},
    SandboxKey{"execute", [](auto& reading, auto& member, auto& to) { read_paths(reading, member, to.execute); }},
    SandboxKey{"connect", [](auto& reading, auto& member, auto& to) { read_ports(reading, member, to.connect); }},
    SandboxKey{"bind", [](auto& reading, auto& member, auto& to) { read_ports(reading, member, to.bind); }},
    SandboxKey{"system_calls", read_system_calls},
    SandboxKey{"private_tmp",
               [](auto& reading, auto& member, auto& to) { read_boolean(reading, member, to.private_tmp); }},
    SandboxKey{"protect_system",
               [](auto& reading, auto& member, auto& to) { read_boolean(reading, member, to.protect_system); }},
    SandboxKey{"devices", read_devices},
    SandboxKey{"network",
               [](auto& reading, auto& member, auto& to) {
                   read_choice(reading, member, networks, to.network);
                   to.network_origin = origin_of(member.value);
               }},
};

} // namespace

std::vector<std::string> sandbox_names()
{
    return names_of(keys);
}

/// `sandbox: strict` is short for its two parts.
void read_sandbox(Reading& reading, const Member& member, Sandbox& sandbox)
{
    if (member.value.is(Node::Kind::mapping))
        return read_mapping(reading, member.value, sandbox, keys);
    read_confinement(reading, member, sandbox.landlock);
    sandbox.seccomp = sandbox.landlock;
}

void check_sandbox(Reading& reading, const Place& place, const Sandbox& sandbox)
{
    const bool strict_files = sandbox.landlock == Confinement::strict;
    const auto demand = [&](bool fine, const std::string& message, const std::string& hint) {
        if (!fine)
            report_error(reading.diagnostics, place, message, hint);
    };
    demand(strict_files || (sandbox.read.empty() && sandbox.execute.empty()),
           "`read` and `execute` have no effect without `landlock: strict`", "add it, or remove them");
    demand(strict_files || (sandbox.connect.empty() && sandbox.bind.empty()),
           "`connect` and `bind` have no effect without `landlock: strict`", "add it, or remove them");
    demand(strict_files || sandbox.protect_system || sandbox.write.empty(),
           "`write` has no effect without `landlock: strict` or `protect_system: true`",
           "add one of them, or remove it");
    demand(sandbox.seccomp == Confinement::strict || sandbox.system_calls.empty(),
           "`system_calls` has no effect without `seccomp: strict`", "add it, or remove them");
    demand(
        sandbox.no_new_privileges || (!strict_files && sandbox.seccomp != Confinement::strict),
        "`no_new_privileges: false` contradicts `strict`: without no_new_privs there is neither Landlock nor seccomp",
        "remove one of them");
}

} // namespace belay::config
