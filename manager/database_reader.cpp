// SPDX-License-Identifier: Apache-2.0
#include "manager/database_reader.hpp"

#include "config/files.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/stages.hpp"
#include "launcher/write_all.hpp"
#include "manager/database.hpp"
#include "manager/event_loop.hpp"
#include "manager/json_guard.hpp"
#include "manager/log.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t longest_ns = 15'000'000'000; // three times what SQLite waits for a lock
constexpr std::size_t longest_sentence = 400;

tl::unexpected<std::string> failure(const std::string& what, int error)
{
    return tl::unexpected("is not read: could not " + what + ": " + errno_text(error));
}

// In the child.

nlohmann::json read_here(const fs::path& file, const fs::path& migrations)
{
    auto database = Database::open_existing(file, migrations);
    if (!database)
        return {{"error", database.error()}};
    if (!*database)
        return {{"modules", nullptr}};
    auto modules = (*database)->read_modules();
    if (!modules)
        return {{"error", modules.error()}};
    return {{"modules", *modules ? std::move(**modules) : nlohmann::json(nullptr)}};
}

[[noreturn]] void become_reader(const fs::path& file, const fs::path& migrations, const launcher::ProcessPlan& identity,
                                int pipe) noexcept
{
    const auto dropped = launcher::drop_privileges(identity);
    nlohmann::json answer;
    if (!dropped)
        answer = {
            {"error", "is not read: its reader could not drop its privileges: " + launcher::explain(dropped.error())}};
    else if (constexpr rlimit no_child{0, 0}; // whom nobody would end
             ::setrlimit(RLIMIT_NPROC, &no_child) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
             ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        answer = {{"error", std::string{"is not read: its reader could not seclude itself: "} + errno_text(errno)}};
    else
        answer = read_here(file, migrations);
    ::_exit(write_all(pipe, serialize(answer)) == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

// In the parent.

/// Ends the child, whatever it is at.
class Child
{
public:
    explicit Child(pid_t pid) : pid_(pid) {}
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child()
    {
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }

private:
    pid_t pid_;
};

tl::expected<std::string, std::string> receive(int pipe)
{
    const auto end = monotonic_ns() + longest_ns;
    std::string received;
    std::array<char, 65536> buffer{};
    for (;;) {
        const auto now = monotonic_ns();
        constexpr std::uint64_t ns_per_ms = 1'000'000;
        pollfd wanted{pipe, POLLIN, 0};
        const int ready = now >= end ? 0 : ::poll(&wanted, 1, static_cast<int>((end - now) / ns_per_ms) + 1);
        if (ready == 0)
            return tl::unexpected(std::string{"could not be read within 15 s; is it on a medium that hangs?"});
        if (ready < 0 && errno == EINTR)
            continue;
        const auto count = ready < 0 ? -1 : ::read(pipe, buffer.data(), buffer.size());
        if (count < 0)
            return failure("hear its reader", errno);
        if (count == 0)
            return received;
        received.append(buffer.data(), static_cast<std::size_t>(count));
        if (received.size() > config::largest_file)
            return tl::unexpected(std::string{"holds more than 16 MB; this cannot be meant as configuration"});
    }
}

/// Nothing of it is trusted but that it is JSON.
tl::expected<config::StoredModules, std::string> understand(std::string_view bytes)
{
    auto answer = parse_untrusted(bytes, config::largest_file);
    if (!answer)
        return tl::unexpected("could not be read: of what its reader says, " + std::string{answer.error()});
    if (!answer->is_object())
        return tl::unexpected(std::string{"could not be read: its reader does not make sense"});
    if (const auto error = answer->find("error"); error != answer->end() && error->is_string())
        return tl::unexpected(printable(error->get_ref<const std::string&>(), longest_sentence));
    const auto modules = answer->find("modules");
    if (modules == answer->end())
        return tl::unexpected(std::string{"could not be read: its reader does not make sense"});
    if (modules->is_null())
        return config::StoredModules{};
    return config::StoredModules{std::move(*modules)};
}

} // namespace

tl::expected<config::StoredModules, std::string> read_database(const fs::path& file, const fs::path& migrations,
                                                               const launcher::ProcessPlan& identity)
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return failure("create a pipe", errno);
    const FileDescriptor ours{ends[0]};
    FileDescriptor theirs{ends[1]};
    const pid_t pid = ::fork();
    if (pid < 0)
        return failure("fork", errno);
    if (pid == 0)
        become_reader(file, migrations, identity, theirs.get());
    const Child child{pid};
    theirs.reset();
    const auto received = receive(ours.get());
    if (!received)
        return tl::unexpected(received.error());
    // It has said all, or what it said is no JSON; its end is not waited for.
    if (received->empty())
        return tl::unexpected(std::string{"could not be read: its reader ended unexpectedly"});
    return understand(*received);
}

} // namespace belay::manager
