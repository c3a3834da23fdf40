// SPDX-License-Identifier: Apache-2.0
#include "manager/json_guard.hpp"

#include "manager/dialect.hpp"
#include "manager/log.hpp"

#include <catch2/catch.hpp>

#include <random>
#include <string>

using namespace belay::manager;

TEST_CASE("any bytes are survived")
{
    std::mt19937 generator(7); // NOLINT(cert-msc51-cpp): the same bytes each time
    std::uniform_int_distribution<int> byte(0, 255);
    std::uniform_int_distribution<std::size_t> length(0, 300);
    const std::string seed = R"({"msg_type":"ModuleReady","data":{"a":[1,2.5e3,"x\u00e4",true,null]}})";
    for (int round = 0; round < 20000; ++round) {
        std::string bytes = round % 2 == 0 ? seed : std::string(length(generator), '\0');
        for (auto& c : bytes)
            if (round % 2 != 0 || byte(generator) < 8)
                c = static_cast<char>(byte(generator));
        if (const auto value = parse_untrusted(bytes))
            CHECK_NOTHROW(serialize(*value));
        (void)read_ready(bytes, nullptr);
        for (const auto* topic : {"config/request", "modules/one/get_config"})
            (void)read_request(topic, bytes);
        CHECK(printable(bytes).size() <= 83);
    }
}

TEST_CASE("nesting and size are bounded")
{
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    CHECK(parse_untrusted(nested(64)));
    CHECK_FALSE(parse_untrusted(nested(65)));
    CHECK_FALSE(parse_untrusted(nested(400000)));
    CHECK_FALSE(parse_untrusted(std::string(500000, '{')));
    const auto wide = [](std::size_t values) {
        std::string text = "[1";
        for (; values > 1; --values)
            text += ",1";
        return text + ']';
    };
    CHECK(parse_untrusted(wide(most_values)));
    CHECK_FALSE(parse_untrusted(wide(most_values + 1)));
    CHECK(parse_untrusted("\"" + std::string(most_values + 1, ',') + '"'));
    CHECK(parse_untrusted("\"" + std::string(1000, '[') + "\""));
    CHECK(parse_untrusted("[\"\\\"" + std::string(100, '[') + "\"]"));
    CHECK_FALSE(parse_untrusted("\"" + std::string(largest_payload, 'x') + "\""));
    CHECK_FALSE(parse_untrusted(""));
    CHECK_FALSE(parse_untrusted("\"\xff\""));
    CHECK_FALSE(parse_untrusted("1e999"));
}

TEST_CASE("lines of one kind are limited, and counted")
{
    RateLimit limit;
    const RateLimit::Clock::time_point begin{};
    int admitted = 0;
    for (int i = 0; i < 1000; ++i)
        admitted += limit.admit("ready", begin).has_value() ? 1 : 0;
    CHECK(admitted == 3);
    CHECK(limit.admit("request", begin) == 0U);
    CHECK(limit.admit("ready", begin + std::chrono::seconds(10)) == 997U);
    CHECK_FALSE(limit.admit("ready", begin + std::chrono::seconds(11)));
}

TEST_CASE("untrusted text is fit for a log line")
{
    CHECK(printable("a\nb\033[1m\xff") == "a?b?[1m?");
    CHECK(printable("abcdef", 3) == "abc...");
}
