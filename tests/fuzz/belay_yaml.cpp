// SPDX-License-Identifier: Apache-2.0
//
// belay.yaml, root's own file. Guaranteed of any content: every error in it names a line; whatever it says, no module
// is planned with a capability that its configuration does not ask for, or as root when the others are not; and the
// plan is one that the launcher takes.
#include "config/capabilities.hpp"
#include "tests/fuzz/loading.hpp"

#include <linux/capability.h>

using namespace belay;

namespace {

Installation& prepared()
{
    static Installation installation;
    static const bool once = [] {
        installation.standard(Installation::main_file,
                              "settings: {run_as_user: nobody, mqtt_broker_socket_path: /run/broker}\n"
                              "active_modules:\n"
                              "  a: {module: Thing}\n"
                              "  b: {module: Thing, capabilities: [CAP_NET_RAW]}\n");
        installation.standard("libexec/everest/modules/Thing/manifest.yaml", "description: a thing\n");
        installation.standard(Installation::belay_yaml, "");
        return true;
    }();
    static_cast<void>(once);
    return installation;
}

void check_lines(const Installation& installation)
{
    for (const auto& one : installation.diagnostics().all())
        require(one.location.file != installation.path_of(Installation::belay_yaml) || one.location.line > 0,
                "a problem of belay.yaml has a line");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    auto& installation = prepared();
    installation.put({{Installation::belay_yaml, {reinterpret_cast<const char*>(data), size}}});
    const auto configuration = installation.load();
    check_lines(installation);
    if (!configuration)
        return 0;
    const auto plan = installation.plan(*configuration, true);
    check_lines(installation);
    if (!plan)
        return 0;
    for (const auto& module : plan->modules) {
        const auto asked = module.id == "b" ? config::bit(CAP_NET_RAW) : 0;
        require((module.capabilities & ~asked) == 0, "belay.yaml takes capabilities away and grants none");
        require(module.change_identity && module.uid != 0, "no module is root");
        for (const auto& limit : module.limits)
            require(limit.soft <= limit.hard, "setrlimit(2) takes every limit");
    }
    return 0;
}
