// SPDX-License-Identifier: Apache-2.0
#include "launcher/plan.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include <sched.h>

namespace belay::launcher {

namespace {

constexpr std::uint64_t magic = 0x35'6e'61'6c'50'79'6c'42; // "BlyPlan5" without its a
constexpr std::uint64_t longest_text = 1U << 20U;
constexpr std::uint64_t longest_list = 1U << 16U;

static_assert(std::endian::native == std::endian::little, "the plan is written as it lies in memory");

/// One description of the layout for both directions: `Archive` is Writer or Reader.
template <typename Archive>
void serialize(Archive& archive, ResourceLimit& limit)
{
    archive(limit.resource, limit.soft, limit.hard);
}

template <typename Archive>
void serialize(Archive& archive, PathRule& rule)
{
    archive(rule.path, rule.access);
}

template <typename Archive>
void serialize(Archive& archive, PortRule& rule)
{
    archive(rule.port, rule.access);
}

template <typename Archive>
void serialize(Archive& archive, LandlockPlan& plan)
{
    archive(plan.isolate, plan.handled_fs, plan.handled_net, plan.paths, plan.ports);
}

template <typename Archive>
void serialize(Archive& archive, MountStep& step)
{
    archive(step.kind, step.target, step.source);
}

template <typename Archive>
void serialize(Archive& archive, Priorities& priorities)
{
    archive(priorities.nice, priorities.policy, priorities.static_priority, priorities.cpus, priorities.io,
            priorities.oom_score_adj);
}

template <typename Archive>
void serialize(Archive& archive, CgroupSetting& setting)
{
    archive(setting.file, setting.value);
}

template <typename Archive>
void serialize(Archive& archive, ProcessPlan& plan)
{
    archive(plan.id, plan.name, plan.program, plan.arguments, plan.environment, plan.working_directory,
            plan.change_identity, plan.uid, plan.gid, plan.groups, plan.privileges, plan.capabilities, plan.umask,
            plan.limits, plan.priorities, plan.cgroup, plan.network, plan.mounts, plan.devices, plan.no_new_privileges,
            plan.landlock, plan.system_call_policy, plan.system_calls);
}

template <typename Archive>
void serialize(Archive& archive, Invocation& invocation)
{
    archive(invocation.program, invocation.arguments, invocation.environment);
}

template <typename Archive>
void serialize(Archive& archive, WatchdogPlan& plan)
{
    archive(plan.wanted, plan.device, plan.require, plan.timeout_s, plan.pretimeout_s, plan.pretimeout_governor,
            plan.heartbeat_ms, plan.record_directory, plan.history);
}

template <typename Archive>
void serialize(Archive& archive, LaunchPlan& plan)
{
    archive(plan.modules, plan.manager, plan.trust_rule, plan.trusted_owner, plan.prefix_output, plan.journal_output,
            plan.unit, plan.signal_domain, plan.cgroup, plan.watchdog, plan.notify_directory, plan.invocation,
            plan.reloaded, plan.stop_timeout_ms);
}

class Writer
{
public:
    template <typename... Values>
    void operator()(Values&... values)
    {
        (put(values), ...);
    }

    std::string bytes;

private:
    template <typename Value>
    void put(Value& value)
    {
        if constexpr (std::is_arithmetic_v<Value> || std::is_enum_v<Value>)
            bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
        else
            serialize(*this, value);
    }

    void put(std::string& text)
    {
        auto size = std::uint64_t{text.size()};
        put(size);
        bytes += text;
    }

    template <typename Value>
    void put(std::optional<Value>& value)
    {
        bool there = value.has_value();
        put(there);
        if (there)
            put(*value);
    }

    template <typename Value>
    void put(std::vector<Value>& list)
    {
        auto size = std::uint64_t{list.size()};
        put(size);
        for (auto& value : list)
            put(value);
    }
};

class Reader
{
public:
    explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    template <typename... Values>
    void operator()(Values&... values)
    {
        (get(values), ...);
    }

    void expect(bool condition, const char* what)
    {
        if (!condition && error.empty())
            error = std::string{"the launch plan is damaged at byte "} + std::to_string(offset_) + ": " + what;
    }

    [[nodiscard]] bool at_end() const { return offset_ == bytes_.size(); }

    std::string error;

private:
    /// The next `size` bytes; none after an error.
    std::span<const std::byte> take(std::uint64_t size)
    {
        expect(size <= bytes_.size() - offset_, "it ends too early");
        if (!error.empty())
            return {};
        const auto result = bytes_.subspan(offset_, size);
        offset_ += size;
        return result;
    }

    template <typename Value>
    void get(Value& value)
    {
        if constexpr (std::is_same_v<Value, bool>) {
            std::uint8_t byte = 0;
            get(byte);
            expect(byte <= 1, "a truth value is neither 0 nor 1");
            value = byte == 1;
        } else if constexpr (std::is_arithmetic_v<Value> || std::is_enum_v<Value>) {
            if (const auto from = take(sizeof value); !from.empty())
                std::memcpy(&value, from.data(), sizeof value);
        } else {
            serialize(*this, value);
        }
    }

    void get(std::string& text)
    {
        std::uint64_t size = 0;
        get(size);
        expect(size <= longest_text, "a text is too long");
        const auto from = take(size);
        text.assign(reinterpret_cast<const char*>(from.data()), from.size());
        expect(text.find('\0') == std::string::npos, "a text contains a NUL");
    }

    template <typename Value>
    void get(std::optional<Value>& value)
    {
        bool there = false;
        get(there);
        if (there)
            get(value.emplace());
    }

    template <typename Value>
    void get(std::vector<Value>& list)
    {
        std::uint64_t size = 0;
        get(size);
        expect(size <= longest_list, "a list is too long");
        for (std::uint64_t i = 0; i < size && error.empty(); ++i)
            get(list.emplace_back());
    }

    std::span<const std::byte> bytes_;
    std::size_t offset_ = 0;
};

/// What no configuration leads to and the stages do not provide for.
void check(Reader& reader, const ProcessPlan& plan)
{
    const bool kept = plan.privileges == Privileges::kept;
    reader.expect(plan.privileges <= Privileges::exact_without_setpcap, "an unknown kind of privileges");
    reader.expect(!(kept && plan.change_identity), "an identity changes but the privileges are kept");
    reader.expect(!(kept && plan.capabilities != 0), "capabilities are declared but the privileges are kept");
    reader.expect(!(plan.change_identity && plan.uid == 0), "an identity changes to root");
    reader.expect(plan.working_directory.starts_with('/'), "a working directory is not absolute");
    reader.expect(plan.system_call_policy <= SystemCallPolicy::allow_list, "an unknown system call policy");
    reader.expect(plan.network <= Network::none, "an unknown kind of network");
    const bool confined = plan.system_call_policy != SystemCallPolicy::any || plan.landlock != LandlockPlan{};
    reader.expect(plan.no_new_privileges || !confined, "new privileges are possible but system calls are filtered");
    reader.expect(plan.no_new_privileges || plan.privileges != Privileges::exact,
                  "new privileges are possible but the bounding set is reduced");
    for (const auto number : plan.system_calls)
        reader.expect(number >= 0, "a system call's number is negative");
    for (const auto& step : plan.mounts) {
        reader.expect(step.kind <= MountStep::Kind::devices, "an unknown kind of mount");
        reader.expect(step.target.starts_with('/'), "a mount point is not absolute");
    }
    for (const auto& device : plan.devices)
        reader.expect(device.starts_with("/dev/") && (device + '/').find("/../") == std::string::npos,
                      "a device is not below /dev");
    for (const auto cpu : plan.priorities.cpus)
        reader.expect(cpu < CPU_SETSIZE, "a processor's number is too large");
    for (const auto& setting : plan.cgroup)
        reader.expect(setting.file.find('/') == std::string::npos, "a control file is a path");
}

void check(Reader& reader, const WatchdogPlan& plan)
{
    constexpr std::uint32_t longest_s = 86400;
    reader.expect(plan.timeout_s > 0 && plan.timeout_s <= longest_s, "a watchdog's timeout is out of range");
    reader.expect(plan.pretimeout_s < plan.timeout_s, "a watchdog's pretimeout is not before its timeout");
    reader.expect(plan.heartbeat_ms < plan.timeout_s * 1000, "heartbeats come later than the watchdog's timeout");
    for (const auto* path : {&plan.device, &plan.record_directory})
        reader.expect(path->empty() || path->starts_with('/'), "a path of the watchdog's is not absolute");
}

} // namespace

std::string encode(const LaunchPlan& plan)
{
    Writer writer;
    auto mark = magic;
    auto copy = plan;
    writer(mark, copy);
    return std::move(writer.bytes);
}

tl::expected<LaunchPlan, std::string> decode(std::span<const std::byte> bytes)
{
    Reader reader{bytes};
    LaunchPlan plan;
    std::uint64_t mark = 0;
    reader(mark);
    reader.expect(mark == magic, "it is no launch plan of this version");
    if (reader.error.empty())
        reader(plan);
    reader.expect(reader.at_end(), "something follows its end");
    for (const auto& module : plan.modules) {
        check(reader, module);
        reader.expect(module.program.starts_with('/'), "a program is not absolute");
        reader.expect(!module.arguments.empty(), "a program has no argument 0");
    }
    check(reader, plan.manager);
    check(reader, plan.watchdog);
    reader.expect(plan.notify_directory.empty() || plan.notify_directory.starts_with('/'),
                  "the notify directory is not absolute");
    const auto& program = plan.invocation.program;
    reader.expect(program.empty() || program.starts_with('/'), "the program of a reload is not absolute");
    reader.expect(program.empty() || !plan.invocation.arguments.empty(), "the program of a reload has no argument 0");
    reader.expect(!(plan.prefix_output && plan.journal_output), "output goes to pipes and to the journal");
    reader.expect(plan.manager.system_call_policy != SystemCallPolicy::allow_list, "an allow list for the manager");
    if (!reader.error.empty())
        return tl::unexpected(std::move(reader.error));
    return plan;
}

} // namespace belay::launcher
