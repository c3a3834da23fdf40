// SPDX-License-Identifier: Apache-2.0
#include "launcher/preparation.hpp"

#include "launcher/denied_calls.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/landlock.hpp"
#include "launcher/seccomp_filter.hpp"
#include "launcher/trust.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

tl::expected<FileDescriptor, std::string> open_program(const LaunchPlan& plan, const std::string& path)
{
    auto file = plan.trust_rule ? open_trusted(path, plan.trusted_owner)
                                : tl::expected<FileDescriptor, std::string>{::open(path.c_str(), O_PATH | O_CLOEXEC)};
    if (!file)
        return file;
    struct stat status
    {};
    if (!*file || ::fstat(file->get(), &status) != 0)
        return tl::unexpected("could not open " + path + ": " + errno_text(errno));
    if (!S_ISREG(status.st_mode))
        return tl::unexpected(path + " is not a regular file");
    return file;
}

} // namespace

Preparation::Preparation(CapabilityMask held, int null_device, pid_t manager)
    : held_(held), null_device_(null_device), manager_(manager)
{}

tl::expected<Filters*, std::string> Preparation::filters_for(const ProcessPlan& module)
{
    const auto held = module.privileges == Privileges::kept ? held_ : module.capabilities;
    const auto [place, is_new] =
        filters_.try_emplace(FilterKey{module.system_call_policy, held, module.system_calls}, Filters{});
    if (!is_new)
        return &place->second;
    if (module.system_call_policy == SystemCallPolicy::allow_list)
        if (auto possible = check_notifications(); !possible)
            return tl::unexpected(std::move(possible.error()));
    auto built = filters_of(module, held);
    if (!built)
        return tl::unexpected(std::string{"could not build the system call filter: "} + errno_text(built.error()));
    place->second = std::move(*built);
    return &place->second;
}

tl::expected<void, std::string> Preparation::prepare(const LaunchPlan& plan, const ProcessPlan& module,
                                                     std::deque<PreparedStart>& starts)
{
    auto program = open_program(plan, module.program);
    if (!program)
        return tl::unexpected(program.error());
    const auto filters = filters_for(module);
    if (!filters)
        return tl::unexpected(filters.error());
    auto& start = starts.emplace_back(module, **filters).start();
    start.program = program->get();
    start.null_device = null_device_;
    start.parent = ::getpid();
    start.out_of_reach = (start.landlock_ruleset.attributes.scoped & landlock_scope_signal) != 0 ? manager_ : 0;
    programs_.push_back(std::move(*program));
    return {};
}

} // namespace belay::launcher
