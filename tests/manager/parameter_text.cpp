// SPDX-License-Identifier: Apache-2.0
#include "manager/parameter_text.hpp"

#include <catch2/catch.hpp>

using namespace belay::manager;
using nlohmann::json;

TEST_CASE("a text becomes a value of its type, or none")
{
    const auto whole = [](const char* text, const char* type) { return parse_value(text, type, Strictness::whole); };
    CHECK(whole("", "string") == json(""));
    CHECK(whole("10", "string") == json("10"));
    CHECK(whole("true", "bool") == json(true));
    CHECK(whole("1", "bool") == json(true));
    for (const auto* no : {"True", "yes", "0", "", "false", " true"})
        CHECK(whole(no, "bool") == json(false));
    CHECK(whole(" -12 ", "integer") == json(-12));
    CHECK(whole("+7", "integer") == json(7));
    CHECK(whole("2147483647", "integer") == json(2147483647));
    CHECK(whole("16", "number")->is_number_float());
    CHECK(whole("-1.5e3", "number") == json(-1500.0));
    for (const auto* none : {"", " ", "+-1", "2147483648", "1.5", "x", "0x10", "1 2"})
        CHECK_FALSE(whole(none, "integer"));
    for (const auto* none : {"", "nan", "inf", "-infinity", "1e999", "x", "1.5 m"})
        CHECK_FALSE(whole(none, "number"));
    CHECK_FALSE(whole("1", "unknown"));
    CHECK(parse_value("12 apples", "integer", Strictness::prefix) == json(12));
    CHECK_FALSE(parse_value("apples", "integer", Strictness::prefix));
}

TEST_CASE("a value's text is read as that value again")
{
    for (const json& value : {json(0.1), json(42.0), json(1e300), json(-3.0)})
        CHECK(parse_value(value_text(value), "number", Strictness::whole) == value);
    CHECK(value_text(json("x \"y\"")) == "x \"y\"");
    CHECK(value_text(json(true)) == "true");
    CHECK(value_text(json(42.0)) == "42.0"); // as EVerest's manager stores it
}
