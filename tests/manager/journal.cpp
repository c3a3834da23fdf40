// SPDX-License-Identifier: Apache-2.0
#include "manager/journal.hpp"

#include "launcher/journal.hpp"
#include "launcher/messages.hpp"
#include "manager/core_dump.hpp"
#include "manager/module_entries.hpp"
#include "tests/temporary_directory.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

using namespace belay;
using namespace belay::manager;

namespace {

/// Plays journald's socket.
class Listener
{
public:
    explicit Listener(const std::string& path)
        : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        REQUIRE(path.size() < sizeof address.sun_path);
        path.copy(&address.sun_path[0], path.size());
        REQUIRE(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }

    /// MESSAGE of the next entry; empty if there is none.
    std::string next()
    {
        std::array<char, 65536> buffer{};
        const auto size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
        const std::string text{buffer.data(), size < 0 ? 0 : static_cast<std::size_t>(size)};
        const auto begin = text.find("MESSAGE=");
        return begin == std::string::npos ? std::string{} : text.substr(begin + 8, text.find('\n', begin) - begin - 8);
    }

private:
    FileDescriptor socket_;
};

JournalEntry numbered(int number)
{
    return JournalEntry{6, "entry " + std::to_string(number)};
}

/// Standard error as a socket whose other end is `reader`.
class OwnStandardError
{
public:
    OwnStandardError() : before_(::dup(STDERR_FILENO))
    {
        std::array<int, 2> ends{};
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0);
        reader_ = FileDescriptor{ends[0]};
        const FileDescriptor writer{ends[1]};
        ::dup2(writer.get(), STDERR_FILENO);
    }
    OwnStandardError(const OwnStandardError&) = delete;
    OwnStandardError& operator=(const OwnStandardError&) = delete;
    OwnStandardError(OwnStandardError&&) = delete;
    OwnStandardError& operator=(OwnStandardError&&) = delete;
    ~OwnStandardError() { ::dup2(before_.get(), STDERR_FILENO); }

    [[nodiscard]] std::string text() const
    {
        std::array<char, 65536> buffer{};
        const auto size = ::recv(reader_.get(), buffer.data(), buffer.size(), 0);
        return {buffer.data(), size < 0 ? 0 : static_cast<std::size_t>(size)};
    }

private:
    FileDescriptor before_;
    FileDescriptor reader_;
};

/// Of systemd/belay.catalog: id → text.
std::map<std::string, std::string> catalog()
{
    std::map<std::string, std::string> result;
    std::ifstream file{BELAY_CATALOG};
    std::string id;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("-- ")) {
            id = line.substr(3);
            REQUIRE_FALSE(result.contains(id));
        }
        if (!id.empty())
            result[id] += line + '\n';
    }
    return result;
}

} // namespace

TEST_CASE("every message has an id and a name of its own, and an entry of the catalog")
{
    auto texts = catalog();
    std::set<std::string> names;
    for (const auto& type : message_types) {
        INFO(type.name);
        CHECK(std::regex_match(type.id, std::regex{"[0-9a-f]{32}"}));
        CHECK(names.insert(type.name).second);
        const auto text = texts.extract(type.id);
        REQUIRE_FALSE(text.empty());
        for (const auto* header : {"\nSubject: ", "\nDefined-By: Belay\n", "\nSupport: "})
            CHECK(text.mapped().find(header) != std::string::npos);
        CHECK(text.mapped().size() > 150); // it says what to do, if only "Nothing is to be done"
    }
    CHECK(texts.empty());
}

TEST_CASE("the catalog speaks of fields and events that there are")
{
    const std::set<std::string> fields{"EVEREST_MODULE", "EVEREST_PID", "EVEREST_STAGE", "ERRNO"};
    const std::regex field{"@([A-Z_]+)@"};
    const std::regex event{"EVEREST_EVENT=([a-z_]+)"};
    for (const auto& [id, text] : catalog()) {
        INFO(text);
        for (std::sregex_iterator found{text.begin(), text.end(), field}, end; found != end; ++found)
            CHECK(fields.contains((*found)[1]));
        for (std::sregex_iterator found{text.begin(), text.end(), event}, end; found != end; ++found)
            CHECK(std::any_of(message_types.begin(), message_types.end(),
                              [&](const MessageType& type) { return type.name == (*found)[1]; }));
        std::istringstream lines{text};
        for (std::string line; std::getline(lines, line);)
            CHECK(line.size() <= 90);
    }
}

TEST_CASE("an entry is what journald's native protocol says")
{
    JournalEntry entry{3, "one\ntwo"};
    entry.add("EVEREST_MODULE", "slac");
    entry.add("EMPTY", "");
    CHECK(entry.bytes() == std::string{"PRIORITY=3\nMESSAGE\n\7\0\0\0\0\0\0\0one\ntwo\nEVEREST_MODULE=slac\n", 55});
    CHECK(entry.line() == "<3>one\ntwo\n");
    CHECK(JournalEntry(3, std::string(100000, 'x')).bytes().size() < 33000);
}

TEST_CASE("what the journal does not take at once is kept in order, and given later")
{
    const TemporaryDirectory directory{"journal"};
    const auto path = (directory.path / "socket").string();
    Listener listener{path};
    Journal journal{path.c_str()};
    constexpr int count = 2000; // more than a datagram socket holds
    for (int i = 0; i < count; ++i)
        journal.send(numbered(i));
    EventLoop loop;
    const auto watch = journal.watch(loop);
    int next = 0;
    for (int round = 0; round < count && next < count; ++round) {
        for (std::string text; !(text = listener.next()).empty(); ++next)
            REQUIRE(text == "entry " + std::to_string(next));
        sd_event_run(loop.get(), 0);
    }
    CHECK(next == count);
    CHECK(listener.next().empty()); // none is told to be lost
    CHECK(sd_event_run(loop.get(), 0) == 0);
}

TEST_CASE("what is too much for the journal is counted, and told")
{
    const TemporaryDirectory directory{"journal"};
    const auto path = (directory.path / "socket").string();
    Listener listener{path};
    Journal journal{path.c_str(), 1000};
    constexpr int count = 2000;
    for (int i = 0; i < count; ++i)
        journal.send(numbered(i));
    EventLoop loop;
    const auto watch = journal.watch(loop);
    int taken = 0;
    std::string last;
    for (int round = 0; round < count; ++round) {
        for (std::string text; !(text = listener.next()).empty(); last = text)
            taken += text.starts_with("entry ") ? 1 : 0;
        sd_event_run(loop.get(), 0);
    }
    CHECK(last == std::to_string(count - taken) + " entries were lost: the journal did not take more");
    CHECK(taken < count);
}

TEST_CASE("without a journal, standard error gets all, and the reason once")
{
    const TemporaryDirectory directory{"journal"};
    const auto path = (directory.path / "socket").string();
    Journal journal{path.c_str()};
    {
        const OwnStandardError standard_error;
        journal.send(numbered(1));
        journal.send(numbered(2));
        CHECK(standard_error.text() == "<4>could not reach the journal at " + path +
                                           ": No such file or directory; until it is back, standard error gets all, "
                                           "without fields\n<6>entry 1\n<6>entry 2\n");
        Listener listener{path};
        journal.send(numbered(3));
        CHECK(listener.next() == "entry 3");
        CHECK(standard_error.text().empty());
        std::filesystem::remove(path);
    }
    const OwnStandardError standard_error; // it died, and one is there again
    journal.send(numbered(4));
    CHECK(standard_error.text().find(": Connection refused;") == std::string::npos); // no file: as before
    Listener other{path};
    journal.send(numbered(5));
    CHECK(other.next() == "entry 5");
}

TEST_CASE("a journal that never reads does not keep the manager from ending")
{
    const TemporaryDirectory directory{"journal"};
    const auto path = (directory.path / "socket").string();
    const Listener listener{path};
    const auto begin = std::chrono::steady_clock::now();
    {
        Journal journal{path.c_str()};
        for (int i = 0; i < 1000; ++i)
            journal.send(numbered(i));
    }
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds{2});
}

TEST_CASE("the lines of a stream's header cannot be broken")
{
    CHECK(launcher::journal_stream_header("slac", "everest.service") == "slac\neverest.service\n6\n1\n0\n0\n0\n");
    CHECK(launcher::journal_stream_header("a\nb\tc", "") == "a?b?c\n\n6\n1\n0\n0\n0\n");
    CHECK(launcher::journal_stream_header(std::string(1000, 'x'), "").size() < 255);
}

TEST_CASE("a core is named where it is")
{
    constexpr int dumped = SIGSEGV | 0x80;
    launcher::ProcessPlan plan;
    plan.working_directory = "/home/everest";
    const std::string systemd = "|/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h";
    CHECK(explain_core(dumped, 4711, plan, systemd) == " (`coredumpctl info 4711`)");
    CHECK(explain_core(dumped, 4711, plan, "|/usr/share/apport/apport -p%p") == " (given to /usr/share/apport/apport)");
    CHECK(explain_core(dumped, 4711, plan, "core") == " (/home/everest/core)");
    CHECK(explain_core(dumped, 4711, plan, "/var/crash/core.%p") == " (/var/crash/core.4711)");
    CHECK(explain_core(dumped, 4711, plan, "core.%e.%p") == " (/home/everest/core.%e.4711, see core(5))");
    CHECK(explain_core(dumped, 4711, plan, "").empty());
    plan.limits = {{RLIMIT_CORE, launcher::no_core, launcher::no_core}};
    CHECK(explain_core(SIGSEGV, 4711, plan, systemd) == ", no core: LimitCORE is 0");
    CHECK(explain_core(SIGKILL, 4711, plan, systemd).empty());
    CHECK(explain_core(3 << 8, 4711, plan, systemd).empty());
    plan.limits = {{RLIMIT_CORE, 1 << 20, 1 << 20}};
    CHECK(explain_core(SIGSEGV, 4711, plan, systemd).empty());
}

TEST_CASE("the end of a module is in fields")
{
    End end;
    end.pid = 4711;
    end.status = 3 << 8;
    const auto fields = [](const About& about) {
        std::map<std::string, std::string> result;
        for (const auto& [name, value] : about.more)
            result[name] = value;
        return result;
    };
    CHECK(fields(about_crash("slac", end)) == std::map<std::string, std::string>{{"EVEREST_EXIT_CODE", "3"}});
    CHECK(about_crash("slac", end).hint == "; its last lines: `journalctl -b -t slac _PID=4711 -n 20`");
    end.status = SIGABRT | 0x80;
    CHECK(fields(about_crash("slac", end)) ==
          std::map<std::string, std::string>{{"EVEREST_SIGNAL", "SIGABRT"}, {"EVEREST_CORE_DUMPED", "1"}});
    CHECK(about_crash("slac", end).message == JournalMessage::module_crashed);
    end.status.reset();
    end.failure = {launcher::StageId::groups, EPERM};
    CHECK(about_crash("slac", end).message == JournalMessage::module_refused);
    CHECK(fields(about_crash("slac", end)) ==
          std::map<std::string, std::string>{{"EVEREST_STAGE", "set the supplementary groups"}, {"ERRNO", "1"}});
}
