// SPDX-License-Identifier: Apache-2.0
#include "config/yaml.hpp"

#include "config/nearest.hpp"
#include "tests/temporary_directory.hpp"

#include <catch2/catch.hpp>

#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

namespace fs = std::filesystem;
using namespace belay::config;

namespace {

struct Scratch : TemporaryDirectory
{
    Scratch() : TemporaryDirectory("yaml") {}
};

nlohmann::json value_of(const std::string& scalar)
{
    Diagnostics diagnostics;
    const auto node = parse_yaml("t.yaml", "x: " + scalar + "\n", diagnostics);
    return node ? to_json(*node)["x"] : nlohmann::json{"error"};
}

bool fails(const std::string& text)
{
    Diagnostics diagnostics;
    const auto node = parse_yaml("t.yaml", text, diagnostics);
    return !node && diagnostics.has_errors();
}

} // namespace

TEST_CASE("scalars are typed as in EVerest")
{
    CHECK(value_of("12") == 12);
    CHECK(value_of("-12") == -12);
    CHECK(value_of("010") == 10);
    CHECK(value_of("1.5") == 1.5);
    CHECK(value_of("1e3") == 1000.0);
    CHECK(value_of("true") == true);
    CHECK(value_of("True") == "True");
    CHECK(value_of("yes") == "yes");
    CHECK(value_of("\"12\"") == "12");
    CHECK(value_of("'true'") == "true");
    CHECK(value_of("~").is_null());
    CHECK(value_of("").is_null());
    CHECK(value_of("0x10") == 0);
    CHECK(value_of("0o17") == 0);
    CHECK(value_of("1.2.3.4") == "1.2.3.4");
    CHECK(fails("x: 2147483648\n"));
}

TEST_CASE("quirks are warnings")
{
    Diagnostics diagnostics;
    const auto node = parse_yaml("t.yaml", "a: &x 1\na: 2\nb: *x\n", diagnostics);
    REQUIRE(node);
    CHECK(to_json(*node) == nlohmann::json{{"a", 2}, {"b", "*x"}});
    REQUIRE(diagnostics.all().size() == 2);
    CHECK(diagnostics.all()[0].location.line == 2);
}

TEST_CASE("a strict reader refuses what can be taken in two ways, and reads whole numbers of 64 bits")
{
    const auto read = [](const std::string& text, Diagnostics& diagnostics) {
        return parse_yaml("t.yaml", text, diagnostics, Dialect::strict);
    };
    const std::vector<std::tuple<std::string, int, std::string>> mistakes{
        {"a: 1\nb: 2\na: 3\n", 3, "the key `a` stands twice, the first time in line 1\n"},
        {"a: &x 1\nb: *x\n", 2, "the alias `*x` is not expanded: this file has no anchors"},
        {"a: &x {c: 1}\nb:\n  <<: *x\n", 3, "the alias `*x` is not expanded"},
        {"b:\n  <<: {c: 1}\n", 2, "`<<` merges nothing: this file has no anchors"},
        {"a: 0x10\n", 1, "`0x10` is not a decimal number"},
        {"a: 0o17\n", 1, "write the number in decimal, or in quotes"},
        {"a: 010\n", 1, "`010` is octal to YAML 1.1, and decimal to YAML 1.2"},
        {"a: -010\n", 1, "without the leading zero"},
        {"a: 9223372036854775808\n", 1, "does not fit into 64 bits"},
    };
    for (const auto& [text, line, message] : mistakes) {
        INFO(text);
        Diagnostics diagnostics;
        CHECK_FALSE(read(text, diagnostics));
        REQUIRE(diagnostics.all().size() == 1);
        CHECK(diagnostics.all()[0].location.line == line);
        CHECK_THAT(render(diagnostics.all()[0], false), Catch::Contains(message));
    }
    Diagnostics diagnostics;
    const auto node = read("{a: 2147483648, b: -9223372036854775808, c: 0, d: -0, e: '010', f: 0.5}", diagnostics);
    REQUIRE(node);
    CHECK(diagnostics.all().empty());
    CHECK(to_json(*node) == nlohmann::json{{"a", 2147483648},
                                           {"b", std::numeric_limits<std::int64_t>::min()},
                                           {"c", 0},
                                           {"d", 0},
                                           {"e", "010"},
                                           {"f", 0.5}});
}

TEST_CASE("bad text is refused")
{
    CHECK(fails("[[[["));
    CHECK(fails("x: " + std::string(10000, '[')));
    CHECK(fails("a: \xff\n"));
    CHECK(fails(std::string("a: b\0c\n", 7)));
    CHECK(fails("just text"));
    CHECK(fails("a: [1"));
    CHECK(fails("a: 1\n---\nb: 2\n"));
    CHECK(fails("a: \"\\0\"\n"));
    CHECK(fails("a: \"\\ud800\"\n"));
    CHECK(fails("a: 1e999\n"));
    CHECK(fails("[a, b]: 1\n"));
    CHECK(fails("{a: 1}: 1\n"));
}

TEST_CASE("bad files are refused without blocking")
{
    const Scratch scratch;
    const auto refused = [](const fs::path& path) {
        Diagnostics diagnostics;
        return !load_yaml(path, diagnostics) && diagnostics.has_errors();
    };
    CHECK(refused(scratch.path / "missing.yaml"));
    CHECK(refused(scratch.path));
    REQUIRE(::mkfifo((scratch.path / "fifo.yaml").c_str(), 0600) == 0);
    CHECK(refused(scratch.path / "fifo.yaml"));
    fs::create_symlink("loop.yaml", scratch.path / "loop.yaml");
    CHECK(refused(scratch.path / "loop.yaml"));
    std::ofstream{scratch.path / "large.yaml"} << "a: 1\n";
    fs::resize_file(scratch.path / "large.yaml", std::uintmax_t{100} * 1024 * 1024);
    CHECK(refused(scratch.path / "large.yaml"));
}

TEST_CASE("the nearest name is found")
{
    CHECK(nearest("CAP_NET_RAV", {"CAP_NET_RAW", "CAP_NET_ADMIN"}) == "CAP_NET_RAW");
    CHECK(nearest("zzz", {"module"}).empty());
}

TEST_CASE("a diagnostic shows the line")
{
    Diagnostics diagnostics;
    diagnostics.error({"c.yaml", 41, 9, 3}, "wrong", "do right", "      - abc\x1b");
    CHECK(render(diagnostics.all()[0], false) ==
          "c.yaml:41:9: error: wrong\n   41 |       - abc?\n      |         ^~~ do right");
}

TEST_CASE("carets stand under characters, and lines are at most 80 columns wide")
{
    Diagnostics diagnostics;
    const auto node = parse_yaml("t.yaml", "ä: [ü, 99999999999]\n", diagnostics);
    CHECK_FALSE(node);
    CHECK_THAT(render(diagnostics.all().at(0), false), Catch::Contains("|        ^~~~~~~~~~~\n"));
    const std::string wide(150, 'x');
    diagnostics.error({"t.yaml", 1, 101, 10}, "wrong", std::string(60, 'h'), wide);
    const auto text = render(diagnostics.all().at(1), false);
    CHECK_THAT(text, Catch::Contains("| …xxx") && Catch::Contains("xxx…\n") && Catch::Contains("\n      | hhh"));
    for (std::size_t begin = 0; begin < text.size();) {
        const auto end = std::min(text.find('\n', begin), text.size());
        CHECK(end - begin <= 80 + 4); // two dots of three bytes
        begin = end + 1;
    }
}

TEST_CASE("problems are sorted by file and place, and a flood is cut off but for the error in it")
{
    Diagnostics diagnostics;
    for (const auto& [file, line] :
         std::vector<std::pair<std::string, int>>{{"b", 1}, {"main", 2}, {"a", 1}, {"main", 1}})
        diagnostics.warning({file, line, 1, 1}, "x");
    diagnostics.warning({}, "first");
    diagnostics.sort("main");
    std::string order;
    for (const auto& one : diagnostics.all())
        order += one.location.file + std::to_string(one.location.line) + ' ';
    CHECK(order == "0 main1 main2 a1 b1 ");
    for (std::size_t i = 0; i < 2 * Diagnostics::most; ++i)
        diagnostics.warning({}, "again");
    diagnostics.error({}, "the one that matters");
    CHECK(diagnostics.all().size() == Diagnostics::most);
    CHECK(diagnostics.has_errors());
}
