// SPDX-License-Identifier: Apache-2.0
#include "tests/config/prefix.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <functional>
#include <future>
#include <random>
#include <tuple>

#include <sys/stat.h>

/// Files that are none, that are too much, or that are nonsense, in the place of every file that is read.

namespace fs = std::filesystem;
using namespace belay::config;

namespace {

const std::string valid = "settings: {validate_schema: true}\n"
                          "active_modules:\n"
                          "  a:\n"
                          "    module: Thing\n"
                          "    config_module: {level: 2}\n"
                          "    config_implementation: {main: {size: 4}}\n"
                          "    connections: {other: [{module_id: b, implementation_id: main}]}\n"
                          "    mapping: {module: {evse: 1}}\n"
                          "    access: {config: {modules: {b: {allow_read: true}}}}\n"
                          "  b: {module: Thing, capabilities: [CAP_NET_RAW], config_module: {level: 1.5e0}}\n"
                          "  p: {module: ProbeModule, standalone: true}\n";

struct Badness
{
    const char* name;
    std::function<void(const fs::path&)> put;
    bool places; ///< there is a line to point at
};

void put_text(const fs::path& path, const std::string& text)
{
    std::ofstream{path, std::ios::binary} << text;
}

std::string repeated(const std::string& text, int times)
{
    std::string result;
    for (int i = 0; i < times; ++i)
        result += text;
    return result;
}

std::string garbage()
{
    std::mt19937 random{1};
    std::string result;
    for (int i = 0; i < 4096; ++i)
        result += static_cast<char>(random() & 0xffU);
    return result;
}

std::string alias_bomb()
{
    std::string result = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 20; ++i) {
        const auto earlier = "*a" + std::to_string(i - 1);
        result += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + repeated(earlier + ", ", 9) + "]\n";
    }
    return result;
}

const std::array badnesses{
    Badness{"missing", [](const fs::path&) {}, false},
    Badness{"directory", [](const fs::path& path) { fs::create_directory(path); }, false},
    Badness{"fifo", [](const fs::path& path) { REQUIRE(::mkfifo(path.c_str(), 0644) == 0); }, false},
    Badness{"link in a circle", [](const fs::path& path) { fs::create_symlink(path.filename(), path); }, false},
    Badness{"100 MB",
            [](const fs::path& path) {
                put_text(path, "a: 1\n");
                fs::resize_file(path, std::uintmax_t{100} << 20U);
            },
            false},
    Badness{"device", [](const fs::path& path) { fs::create_symlink("/dev/zero", path); }, false},
    Badness{"garbage", [](const fs::path& path) { put_text(path, garbage()); }, true},
    Badness{"lists in lists", [](const fs::path& path) { put_text(path, "a: " + repeated("[", 10000)); }, true},
    Badness{"maps in maps", [](const fs::path& path) { put_text(path, repeated("{a: ", 10000)); }, true},
    Badness{"lists in lines", [](const fs::path& path) { put_text(path, "a:\n " + repeated("- ", 10000) + "x\n"); },
            true},
    Badness{"keys in keys", [](const fs::path& path) { put_text(path, repeated("? ", 10000)); }, true},
    Badness{"alias bomb", [](const fs::path& path) { put_text(path, alias_bomb()); }, true},
    Badness{"too many values", [](const fs::path& path) { put_text(path, "a: [" + repeated("x,", 200000) + "]\n"); },
            true},
    Badness{"too many keys",
            [](const fs::path& path) {
                std::string text;
                for (int i = 0; i < 49000; ++i)
                    text += "k" + std::to_string(i) + ": 1\n";
                put_text(path, text);
            },
            true},
    Badness{"one key again and again", [](const fs::path& path) { put_text(path, repeated("k: 1\n", 40000)); }, true},
    Badness{"NUL", [](const fs::path& path) { put_text(path, std::string("a: b\0c\n", 7)); }, true},
    Badness{"escaped NUL", [](const fs::path& path) { put_text(path, "a: \"b\\0c\"\n"); }, true},
    Badness{"invalid UTF-8", [](const fs::path& path) { put_text(path, "a: \xc3\x28\n"); }, true},
    Badness{"UTF-16", [](const fs::path& path) { put_text(path, std::string("\xff\xfe\x61\0:\0", 6)); }, true},
    Badness{"no mapping", [](const fs::path& path) { put_text(path, "- a\n"); }, true},
    Badness{"not closed", [](const fs::path& path) { put_text(path, "a: [1, 2\n"); }, true},
    Badness{"tabs", [](const fs::path& path) { put_text(path, "a:\n\tb: 1\n"); }, true},
    Badness{"large integer", [](const fs::path& path) { put_text(path, "a: 2147483648\n"); }, true},
    Badness{"two documents", [](const fs::path& path) { put_text(path, "a: 1\n---\nb: 1\n"); }, true},
    Badness{"unknown key", [](const fs::path& path) { put_text(path, "no_such_key: 1\n"); }, true},
};

/// Whether the file is named by a diagnostic, with a line if there should be one.
bool names(const Diagnostics& diagnostics, const fs::path& file, bool places)
{
    std::error_code error;
    const auto real = fs::canonical(file, error);
    return std::any_of(diagnostics.all().begin(), diagnostics.all().end(), [&](const Diagnostic& one) {
        return (one.location.file == file.string() || one.location.file == real.string()) &&
               (!places || one.location.line > 0);
    });
}

} // namespace

TEST_CASE("bad files are refused, whichever they are")
{
    struct File
    {
        const char* path;
        bool optional;      ///< missing is fine
        bool warnings_only; ///< as at EVerest
    };
    const std::array files{
        File{"etc/everest/c.yaml", false, false},
        File{"etc/everest/belay.yaml", true, false},
        File{"etc/everest/user-config/c.yaml", true, true},
        File{"libexec/everest/modules/Thing/manifest.yaml", false, false},
        File{"share/everest/interfaces/thing.yaml", false, false},
        File{"share/everest/types/thing.yaml", true, false},
        File{"share/everest/errors/thing.yaml", false, false},
        File{"share/everest/schemas/config.yaml", false, false},
    };
    for (const auto& [path, optional, warnings_only] : files)
        for (const auto& [name, put, places] : badnesses) {
            INFO(path << ": " << name);
            Prefix prefix;
            prefix.write("etc/everest/c.yaml", valid);
            const auto file = prefix.path / path;
            fs::create_directories(file.parent_path());
            fs::remove(file);
            put(file);
            LoadOptions options;
            options.config = (prefix.path / "etc/everest/c.yaml").string();
            const auto begin = std::clock(); // of this process: others do not count
            const auto result = prefix.load_as(options);
            CHECK(std::clock() - begin < 5 * CLOCKS_PER_SEC);
            const bool missing = std::string_view{name} == "missing";
            // A schema with keys of its own is one that asks for nothing.
            const bool harmless =
                (missing && optional) || (std::string_view{path}.find("schemas") != std::string_view::npos && result);
            if (harmless)
                continue;
            INFO(prefix.text().substr(0, 1000));
            if (!warnings_only)
                CHECK_FALSE(result);
            CHECK(prefix.diagnostics.has_errors() != result.has_value());
            if (!missing) // then it is named where it is asked for
                CHECK(names(prefix.diagnostics, file, places));
        }
}

TEST_CASE("with run_as_user an overlay is not followed through links")
{
    Prefix prefix;
    const std::string secret = "root:$6$secret";
    prefix.write("secret", secret + "\n");
    fs::create_directories(prefix.path / "etc/everest/user-config");
    const auto overlay = prefix.path / "etc/everest/user-config/c.yaml";
    const std::string text = "settings: {run_as_user: root}\n";
    fs::create_symlink(prefix.path / "secret", overlay);
    CHECK(prefix.load(text));
    CHECK_THAT(prefix.text(), Catch::Contains("is a symbolic link") && !Catch::Contains(secret));
    fs::remove(overlay);
    fs::create_hard_link(prefix.path / "secret", overlay);
    CHECK(prefix.load(text));
    CHECK_THAT(prefix.text(), Catch::Contains("has more than one name") && !Catch::Contains(secret));
    CHECK(prefix.load("active_modules: {}\n"));
    CHECK_THAT(prefix.text(), Catch::Contains(secret));
}

namespace {

/// Changes a text in one to four places.
class Mutator
{
public:
    explicit Mutator(unsigned seed) : random_(seed) {}

    std::size_t below(std::size_t end) { return static_cast<std::size_t>(random_() % end); }

    std::string mutate(std::string text)
    {
        for (auto count = 1 + below(4); count > 0; --count) {
            change(text);
            if (text.empty())
                text = " ";
        }
        return text;
    }

private:
    void change(std::string& text)
    {
        static const std::string pieces = "{}[]:,-&*!|>'\"%@`#?\n\t ~0129.eE+x\\\xc3\xff";
        const auto at = below(text.size());
        const auto length = std::min(1 + below(12), text.size() - at);
        switch (below(5)) {
        case 0:
            text[at] = static_cast<char>(random_() & 0xffU);
            break;
        case 1:
            text.insert(at, 1, pieces[below(pieces.size())]);
            break;
        case 2:
            text.erase(at, length);
            break;
        case 3:
            text.insert(below(text.size()), text.substr(at, length));
            break;
        default:
            text.insert(at, repeated(text.substr(at, length), 1 + static_cast<int>(below(50))));
        }
    }

    std::mt19937 random_;
};

struct Outcome
{
    int accepted = 0;
    std::string failure; ///< the first; empty if all went well
};

/// Loads `rounds` mutations of valid files, every second time of the configuration itself: never a crash, and a reason
/// for each that is refused.
Outcome mutate_and_load(bool strict, unsigned seed, int rounds)
{
    Prefix prefix;
    if (!strict) // what schemas would keep away from the code behind them, and faster
        for (const auto& [schema, text] : schema_files)
            prefix.write("share/everest/schemas/" + std::string{schema} + ".yaml", "type: object\n");
    struct File
    {
        std::string path, text;
    };
    const std::array files{
        File{"etc/everest/c.yaml", valid},
        File{"etc/everest/user-config/c.yaml",
             "active_modules: {a: {config_module: {level: 3}, telemetry: {id: 1}}}\n"},
        File{"etc/everest/belay.yaml", "modules: {a: {capabilities: [CAP_NET_RAW], limits: {LimitNOFILE: '64:128'}}}\n"
                                       "broker: {connect_timeout: 2.5}\n"},
        File{"libexec/everest/modules/Thing/manifest.yaml", Prefix::thing_manifest},
        File{"share/everest/interfaces/thing.yaml", Prefix::thing_interface},
        File{"share/everest/errors/thing.yaml", Prefix::thing_errors},
        File{"share/everest/types/thing.yaml", Prefix::thing_types},
    };
    for (const auto& file : files)
        prefix.write(file.path, file.text);
    LoadOptions options;
    options.config = (prefix.path / "etc/everest/c.yaml").string();
    Outcome outcome;
    if (!prefix.load_as(options))
        outcome.failure = "the files are not valid to begin with\n" + prefix.text();
    Mutator mutator{seed};
    for (int round = 0; round < rounds && outcome.failure.empty(); ++round) {
        const auto& file = files[mutator.below(2) == 0 ? 0 : mutator.below(files.size())];
        const auto text = mutator.mutate(file.text);
        prefix.write(file.path, text);
        const auto result = prefix.load_as(options);
        prefix.write(file.path, file.text);
        outcome.accepted += result ? 1 : 0;
        if (result.has_value() == prefix.diagnostics.has_errors())
            outcome.failure = "round " + std::to_string(round) + ": " + file.path + '\n' + text + '\n' + prefix.text();
        if (result)
            make_plan(*result, {}, prefix.diagnostics);
        if (!prefix.diagnostics.all().empty() && prefix.text().empty())
            outcome.failure = "a diagnostic without a text in round " + std::to_string(round);
    }
    return outcome;
}

} // namespace

TEST_CASE("whatever is changed in valid files, loading ends with a value or a reason")
{
    struct Run
    {
        bool strict;
        unsigned seed;
        int rounds;
        std::future<Outcome> outcome;
    };
    const auto begin = std::chrono::steady_clock::now();
    std::vector<Run> runs;
    for (const auto& [strict, seed, rounds] :
         {std::tuple{true, 20261123U, 500}, std::tuple{false, 20261124U, 10000}, std::tuple{false, 20261125U, 10000}})
        runs.push_back({strict, seed, rounds, std::async(std::launch::async, mutate_and_load, strict, seed, rounds)});
    for (auto& [strict, seed, rounds, future] : runs) {
        const auto outcome = future.get();
        std::printf("mutations: seed %u, %d rounds, %d still valid\n", seed, rounds, outcome.accepted);
        INFO(outcome.failure);
        CHECK(outcome.failure.empty());
        CHECK(outcome.accepted > 0);
        CHECK(outcome.accepted < rounds);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("mutations: %.1f s\n", took.count());
}
