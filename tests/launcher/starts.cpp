// SPDX-License-Identifier: Apache-2.0
#include "starts.hpp"

#include "launcher/denied_calls.hpp"
#include "launcher/seccomp_filter.hpp"
#include "launcher/spawn.hpp"
#include "launcher/status_channel.hpp"
#include "tests/root.hpp"

#include <catch2/catch.hpp>

#include <array>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belay;
using namespace belay::launcher;

namespace {

/// Until `descriptor` has something. What the program may not call meanwhile is judged.
void wait_for(int descriptor, const Spawned& spawned, DeniedCalls& denied)
{
    for (;;) {
        std::array<pollfd, 2> entries{pollfd{descriptor, POLLIN, 0}, pollfd{denied.descriptor(), POLLIN, 0}};
        REQUIRE(::poll(entries.data(), entries.size(), 10000) > 0);
        if (entries[1].revents != 0 && denied.judge(entries[1].revents))
            ::kill(-spawned.pid, SIGKILL);
        if (entries[0].revents != 0)
            return;
    }
}

/// Until the program executes or fails.
std::optional<StageFailure> read_status(const Spawned& spawned, DeniedCalls& denied)
{
    for (;;) {
        wait_for(spawned.status.get(), spawned, denied);
        auto status = receive_status(spawned.status.get());
        if (status.kind == Status::Kind::listener)
            denied.watch(std::move(status.listener));
        if (status.kind == Status::Kind::failed)
            return status.failure;
        if (status.kind == Status::Kind::executes)
            return std::nullopt;
    }
}

std::string read_output(const Spawned& spawned, DeniedCalls& denied)
{
    std::string text;
    std::array<char, 4096> buffer{};
    for (;;) {
        wait_for(spawned.output.get(), spawned, denied);
        const auto size = ::read(spawned.output.get(), buffer.data(), buffer.size());
        if (size <= 0)
            return text;
        text.append(buffer.data(), static_cast<std::size_t>(size));
    }
}

} // namespace

Outcome start(const ProcessPlan& plan, pid_t out_of_reach, int control_group)
{
    need_root();
    auto filters = filters_of(plan, plan.capabilities);
    REQUIRE(filters);
    PreparedStart prepared{plan, *filters};
    const FileDescriptor program{::open(plan.program.c_str(), O_PATH | O_CLOEXEC)};
    const FileDescriptor null_device{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    prepared.start().program = program.get();
    prepared.start().null_device = null_device.get();
    prepared.start().parent = ::getpid();
    prepared.start().out_of_reach = out_of_reach;
    auto spawned = spawn(prepared.start(), true, control_group);
    REQUIRE(spawned);
    Outcome outcome;
    DeniedCalls denied;
    outcome.failure = read_status(*spawned, denied);
    outcome.output = read_output(*spawned, denied);
    wait_for(spawned->pidfd.get(), *spawned, denied);
    REQUIRE(::waitpid(spawned->pid, &outcome.status, 0) == spawned->pid);
    outcome.system_call = denied.number();
    return outcome;
}
