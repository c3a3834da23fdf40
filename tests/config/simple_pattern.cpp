// SPDX-License-Identifier: Apache-2.0
#include "config/simple_pattern.hpp"

#include <catch2/catch.hpp>

#include <random>
#include <regex>
#include <string>

using belay::config::SimplePattern;

namespace {

template <std::size_t size>
const char* pick(std::mt19937& random, const char* const (&choices)[size])
{
    return choices[random() % size];
}

std::string make_pattern(std::mt19937& random)
{
    std::string pattern = "^";
    pattern += pick(random, {"", "", "", "(?!a)", "(?!ab|b$)", "(?!aa$|c|-)", "(?!_|)"});
    for (auto left = random() % 5; left > 0; --left) {
        pattern +=
            pick(random, {"a", "b", "/", "#", "-", "[ab]", "[a-c_]", "[-b]", "[b-]", "[a-zA-Z0-9_.-]", ":", " ", "."});
        pattern += pick(random, {"", "", "*", "+", "?"});
    }
    return pattern + "$";
}

} // namespace

TEST_CASE("a simple pattern matches what std::regex does")
{
    std::mt19937 random{7};
    int matches = 0;
    for (int round = 0; round < 3000; ++round) {
        const auto pattern = make_pattern(random);
        CAPTURE(pattern);
        const auto simple = SimplePattern::parse(pattern);
        REQUIRE(simple);
        const std::regex regex{pattern, std::regex::ECMAScript};
        for (int text_round = 0; text_round < 10; ++text_round) {
            std::string text;
            for (auto left = random() % 6; left > 0; --left)
                text += pick(random, {"a", "b", "c", "Z", "_", "-", "/", "#", ":", " ", "\n", "\xc3\xa4"});
            CAPTURE(text);
            matches += simple->match(text) ? 1 : 0;
            CHECK(simple->match(text) == std::regex_search(text, regex));
        }
    }
    CHECK(matches > 300);
}

TEST_CASE("what is not a simple pattern is left to std::regex")
{
    for (const auto* pattern : {"",         "^",       "a",         "^a",         "a$",          "^(a)$",
                                "^a|b$",    "^a{2}$",  "^\\d$",     "^[^a]$",     "^[\\d]$",     "^[[:alpha:]]$",
                                "^[]$",     "^[z-a]$", "^[a-]-]$",  "^*$",        "^a**$",       "^a+?$",
                                "^[a$",     "^a]$",    "^(?!a.)b$", "^(?!(a))b$", "^(?!a",       "^(?=a)a$",
                                "^a(?!b)$", "^.*?$",   "^$^$",      "^\xc3\xa4$", "^[\xc3\xa4]$"}) {
        CAPTURE(pattern);
        CHECK_FALSE(SimplePattern::parse(pattern));
    }
    CHECK(SimplePattern::parse("^" + std::string(63, 'a') + "$"));
    CHECK_FALSE(SimplePattern::parse("^" + std::string(64, 'a') + "$"));
    CHECK(SimplePattern::parse("^$")->match(""));
    CHECK_FALSE(SimplePattern::parse("^$")->match("a"));
}
