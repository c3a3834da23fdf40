// SPDX-License-Identifier: Apache-2.0
//
// The power fails while a parameter is stored: the process is killed at every system call it makes, before it is made,
// and in the middle of each write. Afterwards there is the old value or the new one, whole, and the next change works.
// What a kill cannot show, that the medium has the file before the file has the name, is read off the order of calls.
#include "launcher/descriptor.hpp"
#include "manager/database.hpp"
#include "manager/overlay_file.hpp"
#include "tests/fault/tracer.hpp"
#include "tests/temporary_directory.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <fstream>
#include <map>
#include <sstream>

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace belay;
using namespace belay::manager;

namespace fs = std::filesystem;

namespace {

enum class Cut
{
    before, ///< the call is not made
    halfway ///< of a write, half is made
};

/// At the entry of a write: it will write half. False if it is no write, or one that has no half.
bool halve(pid_t pid, const __ptrace_syscall_info& info)
{
    const auto number = static_cast<long>(info.entry.nr);
    if ((number != SYS_write && number != SYS_pwrite64) || info.entry.args[2] < 2)
        return false;
    user_regs_struct registers{};
    iovec part{&registers, sizeof registers};
    if (::ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part) != 0)
        return false;
#if defined(__x86_64__)
    registers.rdx /= 2;
#elif defined(__aarch64__)
    registers.regs[2] /= 2;
#endif
    return ::ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &part) == 0;
}

/// Runs `body` in a process that is killed at system call number `at`. False if `body` made fewer, and was not killed.
bool cut(Cut how, std::size_t at, const std::function<bool()>& body)
{
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0 || ::raise(SIGSTOP) != 0)
            ::_exit(2);
        ::_exit(body() ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(pid, &status, 0) == pid);
    REQUIRE(::ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0);
    bool halved = false;
    for (std::size_t number = 0; ::ptrace(PTRACE_SYSCALL, pid, nullptr, 0) == 0;) {
        REQUIRE(::waitpid(pid, &status, 0) == pid);
        if (!WIFSTOPPED(status))
            break;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80))
            continue;
        __ptrace_syscall_info info{};
        REQUIRE(::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0);
        const bool entry = info.op == PTRACE_SYSCALL_INFO_ENTRY;
        const bool chosen = entry && number == at && info.entry.nr != SYS_exit_group;
        if (halved || (chosen && how == Cut::before)) {
            ::kill(pid, SIGKILL);
            REQUIRE(::waitpid(pid, &status, 0) == pid);
            return true;
        }
        if (chosen)
            halved = halve(pid, info);
        number += entry ? 1 : 0;
    }
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    return false;
}

/// In memory where possible: thousands of fsync(2) are waited for otherwise, and a kill takes nothing back.
struct Scratch : TemporaryDirectory
{
    Scratch() : TemporaryDirectory("cut", fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path()) {}
};

config::Configuration example(const fs::path& directory)
{
    config::Configuration result;
    result.settings.config_file = directory / "charger.yaml";
    auto& module = result.modules["two"];
    module.id = "two";
    module.name = "Thing";
    module.config = {{"module_id", "two"},  {"module_name", "Thing"},
                     {"standalone", false}, {"connections", nlohmann::json::object()},
                     {"mapping", nullptr},  {"access", nullptr}};
    module.config["configuration_parameters"]["!module"] = {
        {{"name", "level"},
         {"value", 1.0},
         {"characteristics", {{"datatype", "number"}, {"mutability", "ReadWrite"}}}}};
    return result;
}

const ParameterName level{"two", "!module", "level"};

std::vector<Setting> value(double number)
{
    return {{level, {{"datatype", "number"}, {"mutability", "ReadWrite"}}, number, std::to_string(number)}};
}

std::string content(const fs::path& file)
{
    std::ostringstream text;
    text << std::ifstream{file}.rdbuf();
    return text.str();
}

struct Figures
{
    std::size_t cuts = 0, old_ones = 0, new_ones = 0;

    void count(bool is_old)
    {
        ++cuts;
        (is_old ? old_ones : new_ones) += 1;
    }
    void print(const char* what) const
    {
        std::printf("%s: cut %zu times, then the old value %zu times, the new one %zu times, neither 0 times\n", what,
                    cuts, old_ones, new_ones);
    }
};

} // namespace

TEST_CASE("power fails while the overlay is written")
{
    Scratch scratch;
    const auto configuration = example(scratch.path);
    const auto file = scratch.path / "user-config/charger.yaml";
    OverlayFile overlay{configuration};
    REQUIRE(overlay.write(value(1)));
    const auto before = content(file);
    REQUIRE(overlay.write(value(2)));
    const auto after = content(file);
    REQUIRE(before != after);

    Figures figures;
    for (const auto how : {Cut::before, Cut::halfway}) {
        for (std::size_t at = 0; at < 200; ++at) {
            REQUIRE(overlay.write(value(1)));
            const bool killed = cut(how, at, [&] { return overlay.write(value(2)).has_value(); });
            const auto found = content(file);
            INFO("call " << at);
            REQUIRE((found == before || found == after));
            if (killed)
                figures.count(found == before);
            else if (how == Cut::before)
                break;
        }
    }
    REQUIRE(overlay.write(value(1)));
    CHECK(std::distance(fs::directory_iterator{file.parent_path()}, {}) == 1); // nothing of those that were cut
    CHECK(figures.old_ones > 0);
    CHECK(figures.new_ones > 0);
    figures.print("overlay");
}

TEST_CASE("the medium has the overlay before it has the name, and the name before the answer")
{
    Scratch scratch;
    const auto configuration = example(scratch.path);
    const auto trace = fault::trace({fault::Subject::process, 0, SYS_exit_group}, std::nullopt,
                                    [&](int) { return OverlayFile{configuration}.write(value(2)) ? 0 : 1; });
    std::vector<std::string> steps;
    for (const auto& call : trace.calls)
        if (call.number == SYS_write)
            steps.emplace_back("write");
        else if (call.number == SYS_fsync)
            steps.emplace_back("fsync");
        else if (call.number == SYS_rename)
            steps.emplace_back("rename");
        else if (call.number == SYS_mkdir)
            steps.emplace_back("mkdir");
    CHECK(steps == std::vector<std::string>{"mkdir", "fsync", "write", "fsync", "rename", "fsync"});
}

TEST_CASE("power fails while the database is written")
{
    Scratch scratch;
    const auto configuration = example(scratch.path);
    const auto file = scratch.path / "everest.db";
    const auto set = [&](double number) {
        auto database = Database::open(file, scratch.path);
        return database && database->write_values(value(number));
    };
    {
        auto database = Database::open(file, scratch.path);
        REQUIRE(database);
        REQUIRE(database->replace_modules(configuration));
    }
    Figures figures;
    for (const auto how : {Cut::before, Cut::halfway}) {
        for (std::size_t at = 0; at < 400; ++at) {
            REQUIRE(set(1));
            const bool killed = cut(how, at, [&] { return set(2); });
            auto database = Database::open_existing(file, scratch.path); // looks for damage, too
            INFO("call " << at << (database ? "" : ": " + database.error()));
            REQUIRE(database);
            const auto modules = (*database)->read_modules();
            REQUIRE((modules && *modules));
            const auto found = (**modules)["two"]["config_module"]["level"];
            REQUIRE((found == 1.0 || found == 2.0));
            if (killed)
                figures.count(found == 1.0);
            else if (how == Cut::before)
                break;
        }
    }
    CHECK(figures.old_ones > 0);
    CHECK(figures.new_ones > 0);
    figures.print("database");
}

TEST_CASE("power fails while the database is made")
{
    Scratch scratch;
    const auto configuration = example(scratch.path);
    const auto file = scratch.path / "everest.db";
    const auto fill = [&] {
        auto database = Database::open(file, scratch.path);
        return database && database->replace_modules(configuration);
    };
    Figures figures;
    for (std::size_t at = 0; at < 600; ++at) {
        for (const auto* suffix : {"", "-wal", "-shm", "-journal"})
            fs::remove(file.string() + suffix);
        const bool killed = cut(Cut::before, at, fill);
        auto database = Database::open_existing(file, scratch.path);
        INFO("call " << at << (database ? "" : ": " + database.error()));
        REQUIRE(database);
        const auto modules =
            *database ? (*database)->read_modules() : Database::Result<std::optional<nlohmann::json>>{std::nullopt};
        REQUIRE(modules);
        if (*modules)
            REQUIRE((**modules)["two"]["config_module"]["level"] == 1.0);
        if (!killed)
            break;
        figures.count(!*modules);
        database = std::optional<Database>{}; // closes it
        REQUIRE(fill());                      // the next start goes on
    }
    CHECK(figures.old_ones > 0);
    CHECK(figures.new_ones > 0);
    figures.print("new database (old: none)");
}
