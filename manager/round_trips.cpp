// SPDX-License-Identifier: Apache-2.0
#include "manager/round_trips.hpp"

#include <algorithm>
#include <utility>

namespace belay::manager {

namespace {

/// Linux delays for 40 ms (TCP_DELACK_MIN); no pair of answers that is merely slow is so far apart most of the time.
bool is_delayed(std::chrono::nanoseconds gap)
{
    constexpr std::chrono::milliseconds shortest{35};
    constexpr std::chrono::milliseconds longest{80};
    return gap >= shortest && gap <= longest;
}

std::chrono::nanoseconds now()
{
    return std::chrono::nanoseconds{monotonic_ns()};
}

} // namespace

RoundTrips::RoundTrips(Broker& broker, spdlog::logger& log, std::string topic)
    : broker_(broker), log_(log), topic_(std::move(topic))
{}

std::optional<bool> RoundTrips::judge(const std::vector<std::chrono::nanoseconds>& gaps)
{
    constexpr int pairs = 9;
    constexpr int majority = 5;
    static_assert(2 * majority > pairs);
    const auto delayed = std::ranges::count_if(gaps, is_delayed);
    if (delayed >= majority)
        return true;
    if (static_cast<std::ptrdiff_t>(gaps.size()) - delayed > pairs - majority)
        return false;
    return std::nullopt;
}

void RoundTrips::begin()
{
    if (!std::exchange(begun_, true))
        ask();
}

/// Nobody publishes there, so nothing but the two answers comes.
void RoundTrips::ask()
{
    first_ = broker_.subscribe({topic_}, 0);
    second_ = broker_.unsubscribe({topic_});
}

void RoundTrips::on_subscribed(int message)
{
    if (message == first_)
        answered_ = now();
}

void RoundTrips::on_unsubscribed(int message)
{
    if (message != second_)
        return;
    second_.reset();
    gaps_.push_back(now() - answered_);
    const auto verdict = judge(gaps_);
    if (!verdict)
        return ask();
    if (!*verdict)
        return;
    std::ranges::sort(gaps_);
    log_.warn(
        "the MQTT broker's answers wait for delayed acknowledgements, {} ms each time, and so does every lookup of "
        "every module: the start takes several times as long; put `set_tcp_nodelay true` into mosquitto.conf, or "
        "let the broker listen on a Unix socket and name it as mqtt_broker_socket_path",
        std::chrono::round<std::chrono::milliseconds>(gaps_[gaps_.size() / 2]).count());
}

} // namespace belay::manager
