// SPDX-License-Identifier: Apache-2.0
#include "config/belay_keys.hpp"
#include "launcher/io_priority.hpp"

#include <algorithm>
#include <charconv>

#include <sched.h>
#include <sys/resource.h>

namespace belay::config {

namespace {

/// setrlimit(2)'s resources by systemd.exec(5)'s names.
struct ResourceName
{
    const char* name;
    int resource;
    bool bytes; ///< may be written 64K, 16M, 2G
};

constexpr std::array resource_names{
    ResourceName{"LimitCPU", RLIMIT_CPU, false},          ResourceName{"LimitFSIZE", RLIMIT_FSIZE, true},
    ResourceName{"LimitDATA", RLIMIT_DATA, true},         ResourceName{"LimitSTACK", RLIMIT_STACK, true},
    ResourceName{"LimitCORE", RLIMIT_CORE, true},         ResourceName{"LimitRSS", RLIMIT_RSS, true},
    ResourceName{"LimitNOFILE", RLIMIT_NOFILE, false},    ResourceName{"LimitAS", RLIMIT_AS, true},
    ResourceName{"LimitNPROC", RLIMIT_NPROC, false},      ResourceName{"LimitMEMLOCK", RLIMIT_MEMLOCK, true},
    ResourceName{"LimitLOCKS", RLIMIT_LOCKS, false},      ResourceName{"LimitSIGPENDING", RLIMIT_SIGPENDING, false},
    ResourceName{"LimitMSGQUEUE", RLIMIT_MSGQUEUE, true}, ResourceName{"LimitNICE", RLIMIT_NICE, false},
    ResourceName{"LimitRTPRIO", RLIMIT_RTPRIO, false},    ResourceName{"LimitRTTIME", RLIMIT_RTTIME, false},
};

/// A number as it is written; text for what is none.
std::string text_of(const Node& node)
{
    return node.is(Node::Kind::integer) ? std::to_string(node.integer) : node.text;
}

std::optional<rlim_t> parse_amount(std::string_view text, bool bytes)
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

void report_value(Reading& reading, const Member& member, const char* hint)
{
    report_error(reading.diagnostics, member.value, '`' + member.key + "` is no valid limit", hint);
}

/// Whoever writes `LimitCORE: 0` means that there is no core, and not that a program gets it instead of a file.
launcher::ResourceLimit limit_of(int resource, rlim_t soft, rlim_t hard)
{
    if (resource == RLIMIT_CORE && soft == 0)
        return {resource, launcher::no_core, std::max(hard, launcher::no_core)};
    return {resource, soft, hard};
}

void read_resource(Reading& reading, const Member& member, const ResourceName& known, Limits& limits)
{
    const auto text = text_of(member.value);
    const auto colon = text.find(':');
    const auto soft = parse_amount(text.substr(0, colon), known.bytes);
    const auto hard = colon == std::string::npos ? soft : parse_amount(text.substr(colon + 1), known.bytes);
    if (!soft || !hard || *soft > *hard)
        report_value(reading, member,
                     known.bytes ? "write bytes, 16M, infinity, or \"soft:hard\" with soft not above hard"
                                 : "write a number, infinity, or \"soft:hard\" with soft not above hard");
    else
        limits.resources[known.resource] = limit_of(known.resource, *soft, *hard);
}

template <int least, int most, auto field>
void read_priority(Reading& reading, const Member& member, Limits& limits)
{
    if (const auto value = whole_number(reading, member, least, most))
        limits.priorities.*field = *value;
}

constexpr std::array scheduling_policies{
    Choice<std::int32_t>{"other", SCHED_OTHER}, Choice<std::int32_t>{"batch", SCHED_BATCH},
    Choice<std::int32_t>{"idle", SCHED_IDLE}, Choice<std::int32_t>{"fifo", SCHED_FIFO},
    Choice<std::int32_t>{"rr", SCHED_RR}};
constexpr std::array io_classes{Choice<std::int32_t>{"realtime", io_realtime},
                                Choice<std::int32_t>{"best-effort", io_best_effort},
                                Choice<std::int32_t>{"idle", io_idle}};

void read_scheduling_policy(Reading& reading, const Member& member, Limits& limits)
{
    std::int32_t policy = SCHED_OTHER;
    read_choice(reading, member, scheduling_policies, policy);
    limits.priorities.policy = policy;
}

void read_io_class(Reading& reading, const Member& member, Limits& limits)
{
    read_choice(reading, member, io_classes, limits.io_class.emplace(io_best_effort));
}

void read_io_priority(Reading& reading, const Member& member, Limits& limits)
{
    constexpr int least_urgent = 7;
    limits.io_level = whole_number(reading, member, 0, least_urgent);
}

void read_processors(Reading& reading, const Member& member, Limits& limits)
{
    if (!is_list(reading, member, "[0, 1]"))
        return;
    if (member.value.items.empty())
        return report_error(reading.diagnostics, member.value, "`CPUAffinity` must have a processor", "write [0, 1]");
    limits.priorities.cpus.clear();
    for (const auto& item : member.value.items)
        if (const auto cpu = whole_number(reading, {member.key, member.key_place, item}, 0, CPU_SETSIZE - 1))
            limits.priorities.cpus.push_back(static_cast<std::uint32_t>(*cpu));
}

template <bool bytes>
void read_control_amount(Reading& reading, const Member& member, const char* file, Limits& limits)
{
    const auto amount = parse_amount(text_of(member.value), bytes);
    if (!amount || *amount == 0)
        return report_value(reading, member, bytes ? "write bytes, 16M, or infinity" : "write a number, or infinity");
    limits.cgroup[file] = *amount == RLIM_INFINITY ? "max" : std::to_string(*amount);
}

void read_weight(Reading& reading, const Member& member, Limits& limits)
{
    constexpr int most = 10000;
    if (const auto weight = whole_number(reading, member, 1, most))
        limits.cgroup["cpu.weight"] = std::to_string(*weight);
}

/// "50%" of one processor, as systemd.resource-control(5) has it.
void read_quota(Reading& reading, const Member& member, Limits& limits)
{
    constexpr rlim_t period_us = 100'000;
    constexpr rlim_t most = 100'000;
    const auto& text = member.value.text;
    const auto percent =
        text.ends_with('%') ? parse_amount(std::string_view{text}.substr(0, text.size() - 1), false) : std::nullopt;
    if (!percent || *percent == 0 || *percent > most)
        return report_value(reading, member, "write a share of one processor, as 50% or 200%");
    limits.cgroup["cpu.max"] = std::to_string(*percent * period_us / 100) + ' ' + std::to_string(period_us);
}

using LimitKey = Key<Limits>;
constexpr int lowest_priority = 19;
constexpr int highest_priority = -20;
constexpr int most_urgent = 99;
constexpr int oom_range = 1000;

constexpr std::array other_keys{
    LimitKey{"Nice", read_priority<highest_priority, lowest_priority, &launcher::Priorities::nice>},
    LimitKey{"CPUSchedulingPolicy", read_scheduling_policy},
    LimitKey{"CPUSchedulingPriority", read_priority<1, most_urgent, &launcher::Priorities::static_priority>},
    LimitKey{"CPUAffinity", read_processors},
    LimitKey{"IOSchedulingClass", read_io_class},
    LimitKey{"IOSchedulingPriority", read_io_priority},
    LimitKey{"OOMScoreAdjust", read_priority<-oom_range, oom_range, &launcher::Priorities::oom_score_adj>},
    LimitKey{"MemoryMax", [](auto& reading, auto& member,
                             auto& to) { read_control_amount<true>(reading, member, "memory.max", to); }},
    LimitKey{"MemoryHigh", [](auto& reading, auto& member,
                              auto& to) { read_control_amount<true>(reading, member, "memory.high", to); }},
    LimitKey{"TasksMax", [](auto& reading, auto& member,
                            auto& to) { read_control_amount<false>(reading, member, "pids.max", to); }},
    LimitKey{"CPUWeight", read_weight},
    LimitKey{"CPUQuota", read_quota},
};

} // namespace

std::vector<std::string> limit_names()
{
    auto names = names_of(other_keys);
    for (const auto& one : resource_names)
        names.emplace_back(one.name);
    return names;
}

void read_limits(Reading& reading, const Member& member, Limits& limits)
{
    if (!is_mapping(reading, member))
        return;
    for (const auto& item : member.value.members) {
        const auto* resource = std::find_if(resource_names.begin(), resource_names.end(),
                                            [&](const ResourceName& one) { return item.key == one.name; });
        const auto* other = std::find_if(other_keys.begin(), other_keys.end(),
                                         [&](const LimitKey& one) { return item.key == one.name; });
        if (resource != resource_names.end()) {
            read_resource(reading, item, *resource, limits);
        } else if (other != other_keys.end()) {
            other->read(reading, item, limits);
        } else {
            report_unknown_key(reading, item, limit_names());
        }
    }
}

void check_limits(Reading& reading, const Place& place, const Limits& limits)
{
    const auto& priorities = limits.priorities;
    const auto policy = priorities.policy.value_or(SCHED_OTHER);
    const bool real_time = policy == SCHED_FIFO || policy == SCHED_RR;
    if (real_time && priorities.static_priority == 0)
        report_error(reading.diagnostics, place, "a real-time `CPUSchedulingPolicy` needs a `CPUSchedulingPriority`",
                     "add one from 1 to 99");
    if (!real_time && priorities.static_priority != 0)
        report_error(reading.diagnostics, place,
                     "`CPUSchedulingPriority` has no effect without `CPUSchedulingPolicy: fifo` or `rr`",
                     "use `Nice`, or choose one of them");
}

} // namespace belay::config
