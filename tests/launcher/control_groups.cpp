// SPDX-License-Identifier: Apache-2.0
//
// The real launcher in a delegated directory of the machine's own cgroup v2. The settings are such as need no
// controller; those of memory, pids and cpu are tests/system's.
#include "delegated.hpp"
#include "launcher/delegation.hpp"
#include "processes.hpp"
#include "running.hpp"
#include "starts.hpp"

#include <cstddef>
#include <future>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/xattr.h>

using namespace belay;
using namespace belay::launcher;
using launcher_tests::Delegated;
namespace fs = std::filesystem;

namespace {

std::string group_of(pid_t pid)
{
    std::ifstream file{"/proc/" + std::to_string(pid) + "/cgroup"};
    for (std::string line; std::getline(file, line);)
        if (line.starts_with("0::"))
            return line.substr(line.find('/', 4) + 1); // below the directory
    return {};
}

/// What a child in `leaf` of the directory finds.
std::string found_from(const fs::path& directory)
{
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const FileDescriptor reader{ends[0]};
    FileDescriptor writer{ends[1]};
    const pid_t child = ::fork();
    if (child == 0) {
        std::ofstream{directory / "cgroup.procs"} << 0 << std::flush;
        const auto found = find_delegation().directory;
        ::_exit(::write(writer.get(), found.data(), found.size()) >= 0 ? 0 : 1);
    }
    writer.reset();
    std::array<char, 4096> buffer{};
    const auto size = ::read(reader.get(), buffer.data(), buffer.size());
    CHECK(::waitpid(child, nullptr, 0) == child);
    return {buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
}

/// As RestrictNamespaces= of a unit does, for this thread and what it starts.
bool take_clone3_away()
{
    std::array instructions{
        sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(instructions.size()), instructions.data()};
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 &&
           ::syscall(SYS_clone3, nullptr, 0) == -1 && errno == ENOSYS;
}

} // namespace

TEST_CASE("a delegated control group is found from inside, and from the leaf that an earlier launcher moved to")
{
    const Delegated delegated;
    if (delegated.path.empty())
        return;
    CHECK(found_from(delegated.path) == delegated.path);
    REQUIRE(fs::create_directory(delegated.path / supervisor_leaf));
    CHECK(found_from(delegated.path / supervisor_leaf) == delegated.path);
    REQUIRE(fs::create_directory(delegated.path / "other"));
    CHECK(found_from(delegated.path / "other").empty());
    REQUIRE(::removexattr(delegated.path.c_str(), "trusted.delegate") == 0);
    CHECK(found_from(delegated.path).empty());
    REQUIRE(::setxattr(delegated.path.c_str(), "user.delegate", "1", 1, 0) == 0);
    CHECK(found_from(delegated.path) == delegated.path);
    REQUIRE(::setxattr(delegated.path.c_str(), "user.delegate", "0", 1, 0) == 0);
    CHECK(found_from(delegated.path).empty());
}

TEST_CASE("a module runs in a control group of its own with its settings, and nothing of it stays")
{
    const Delegated delegated;
    if (delegated.path.empty())
        return;
    auto module = unprivileged({"/bin/sleep", "60"});
    module.cgroup = {{"cgroup.max.descendants", "7"}, {"cgroup.max.depth", "3"}};
    auto strange = unprivileged({"/bin/sleep", "60"});
    strange.id = "../memory.max";
    Running launcher{delegated.plan({module, strange})};
    launcher.say(Start{});
    const auto pid = launcher.expect<Started>().pid;
    CHECK(group_of(pid) == "probe.module/run");
    CHECK(group_of(launcher.pid) == supervisor_leaf);
    CHECK(delegated.read("cgroup.procs").empty());
    CHECK(delegated.read("probe.module/cgroup.max.descendants") == "7\n");
    CHECK(delegated.read("probe.module/cgroup.max.depth") == "3\n");
    launcher.say(Start{.module = 1});
    CHECK(group_of(launcher.expect<Started>().pid) == "#1.module/run");
    launcher.say(Signal{.signal = SIGKILL, .scope = Scope::tree});
    CHECK(launcher.expect<Exited>().out_of_memory == 0);
    launcher.say(Start{.attempt = 1});
    CHECK(group_of(launcher.expect<Started>().pid) == "probe.module/run");
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
    CHECK(delegated.groups().empty());
}

TEST_CASE("without clone3(2), a module goes into its control group by itself")
{
    const Delegated delegated;
    if (delegated.path.empty())
        return;
    REQUIRE(fs::create_directory(delegated.path / "one.module"));
    const FileDescriptor group{::open((delegated.path / "one.module").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    const auto module = unprivileged({"/bin/cat", "/proc/self/cgroup"});
    const auto outcome = std::async(std::launch::async, [&] {
                             REQUIRE(take_clone3_away());
                             return start(module, 0, group.get());
                         }).get();
    CHECK_FALSE(outcome.failure);
    CHECK_THAT(outcome.output, Catch::Contains('/' + delegated.path.filename().string() + "/one.module\n"));
}

TEST_CASE("when the end of a module is told, nobody is left of it, however fast it forks")
{
    const Delegated delegated;
    if (delegated.path.empty())
        return;
    const auto module = bounded({BELAY_CHAIN, "8", "30"});
    auto other = unprivileged({"/bin/sleep", "60"});
    other.id = "other";
    Running launcher{delegated.plan({module, other})};
    launcher.say(Start{.module = 1});
    const auto neighbour = launcher.expect<Started>().pid;
    for (unsigned attempt = 0; attempt < 5; ++attempt) {
        launcher.say(Start{.attempt = attempt});
        const auto pid = launcher.expect<Started>().pid;
        await_chains(module.uid);
        REQUIRE(::kill(pid, SIGKILL) == 0); // the main process alone
        launcher.expect<Exited>();
        CHECK(delegated.read("probe.module/cgroup.events").starts_with("populated 0"));
    }
    CHECK(exists(neighbour));
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
    CHECK(processes_of(module.uid) == 0);
    CHECK(delegated.groups().empty());
}

TEST_CASE("a setting that cannot be made starts nothing, and says where and why")
{
    const Delegated delegated;
    if (delegated.path.empty())
        return;
    std::array<int, 2> both{};
    REQUIRE(::pipe2(both.data(), O_CLOEXEC) == 0);
    const FileDescriptor reader{both[0]};
    FileDescriptor writer{both[1]};
    auto module = unprivileged({"/bin/true"});
    std::string wanted;
    SECTION("a value that the kernel refuses")
    {
        module.cgroup = {{"cgroup.max.depth", "many"}};
        wanted = "could not write many to " + (delegated.path / "probe.module/cgroup.max.depth").string() + ": ";
    }
    SECTION("a controller that is not there")
    {
        module.cgroup = {{"nonsense.max", "1"}};
        wanted = "could not enable the controller `nonsense` in ";
    }
    Running launcher{delegated.plan({module}), "", writer.get()};
    writer.reset();
    CHECK(launcher.exit_code() == 1);
    std::array<char, 1024> buffer{};
    const auto size = ::read(reader.get(), buffer.data(), buffer.size());
    REQUIRE(size > 0);
    const std::string said{buffer.data(), static_cast<std::size_t>(size)};
    CHECK_THAT(said, Catch::Contains(wanted) && Catch::Contains("(EINVAL)") && Catch::Contains("Delegate=yes"));
    CHECK(delegated.groups() ==
          std::vector<std::string>{supervisor_leaf}); // the manager is in there until it ends, too
}

TEST_CASE("what a launcher that was killed left in its control groups is ended by the next one")
{
    const Delegated delegated;
    if (delegated.path.empty())
        return;
    const Notes notes;
    auto module = unprivileged({"/bin/sh", "-c", std::string{leave_a_daemon} + "exec sleep 60"});
    module.working_directory = notes.path.string();
    {
        Running launcher{delegated.plan({module})};
        launcher.say(Start{});
        launcher.expect<Started>();
        REQUIRE(comes_true([&] { return fs::exists(notes.path / "stray"); }));
    }
    const auto stray = notes.pid("stray");
    CHECK(group_of(stray) == "probe.module/run");
    Running launcher{delegated.plan({unprivileged({"/bin/true"})})};
    launcher.say(Start{});
    launcher.expect<Started>();
    CHECK(::waitpid(stray, nullptr, 0) == stray); // this process is the subreaper
    launcher.expect<Exited>();
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
    CHECK(delegated.groups().empty());
}

TEST_CASE("with control groups, too, nothing is allocated after the start")
{
    const Delegated delegated;
    if (delegated.path.empty())
        return;
    Running launcher{delegated.plan({unprivileged({"/bin/sh", "-c", "sleep 60 & exit 7"})}), BELAY_FORBID_ALLOCATION};
    for (unsigned attempt = 0; attempt < 2; ++attempt) {
        launcher.say(Start{.attempt = attempt});
        launcher.expect<Started>();
        CHECK(WEXITSTATUS(launcher.expect<Exited>().status) == 7);
    }
    launcher.say(Finish{.exit_code = 42});
    CHECK(launcher.exit_code() == 42);
    CHECK(delegated.groups().empty());
}
