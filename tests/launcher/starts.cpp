// SPDX-License-Identifier: Apache-2.0
#include "starts.hpp"

#include "launcher/seccomp_filter.hpp"
#include "launcher/spawn.hpp"
#include "tests/root.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belay;
using namespace belay::launcher;

namespace {

std::string read_all(int descriptor)
{
    std::string text;
    std::array<char, 4096> buffer{};
    pollfd entry{descriptor, POLLIN, 0};
    for (;;) {
        REQUIRE(::poll(&entry, 1, 10000) == 1);
        const auto size = ::read(descriptor, buffer.data(), buffer.size());
        if (size <= 0)
            return text;
        text.append(buffer.data(), static_cast<std::size_t>(size));
    }
}

} // namespace

Outcome start(const ProcessPlan& plan, pid_t out_of_reach)
{
    need_root();
    auto filter = deny_list(plan.capabilities, Subject::module);
    REQUIRE(filter);
    PreparedStart prepared{
        plan, std::span{*filter}.first(plan.system_call_policy == SystemCallPolicy::any ? 0 : filter->size())};
    const FileDescriptor program{::open(plan.program.c_str(), O_PATH | O_CLOEXEC)};
    const FileDescriptor null_device{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    prepared.start().program = program.get();
    prepared.start().null_device = null_device.get();
    prepared.start().parent = ::getpid();
    prepared.start().out_of_reach = out_of_reach;
    auto spawned = spawn(prepared.start(), true);
    REQUIRE(spawned);
    Outcome outcome;
    const auto report = read_all(spawned->status.get());
    if (report.size() == sizeof(StageFailure)) {
        std::memcpy(&outcome.failure.emplace(), report.data(), sizeof(StageFailure));
    } else {
        REQUIRE(report.empty());
    }
    outcome.output = read_all(spawned->output.get());
    REQUIRE(::waitpid(spawned->pid, &outcome.status, 0) == spawned->pid);
    return outcome;
}
