// SPDX-License-Identifier: Apache-2.0
//
// What a module may call, where its plan lists that, and what becomes of it if it calls anything else.
#include "launcher/capability_sets.hpp"
#include "launcher/status_channel.hpp"
#include "running.hpp"
#include "starts.hpp"
#include "strict.hpp"

#include <linux/capability.h>
#include <sys/resource.h>

using namespace belay;
using namespace belay::launcher;

namespace {

constexpr const char* python = "/usr/bin/python3";

ProcessPlan strict(std::vector<std::string> arguments, const std::vector<std::string>& more = {})
{
    auto plan = unprivileged(std::move(arguments));
    allow_strictly(plan, more);
    return plan;
}

/// Python code with the C library as `c`.
ProcessPlan strict_python(const std::string& code)
{
    return strict({python, "-c", "import ctypes, os, sys\nc = ctypes.CDLL(None, use_errno=True)\n" + code});
}

void runs(const ProcessPlan& plan, const std::string& output)
{
    const auto outcome = start(plan);
    INFO(plan.program << " was killed for calling " << config::system_call_name(outcome.system_call));
    CHECK_FALSE(outcome.failure);
    CHECK(outcome.output == output);
    CHECK(outcome.status == 0);
    CHECK(outcome.system_call == -1);
}

void is_killed_for(long call, const std::string& code)
{
    INFO(code);
    const auto outcome = start(strict_python(code + "\nprint('survived')"));
    CHECK_FALSE(outcome.failure);
    CHECK(outcome.output.empty());
    CHECK(WIFSIGNALED(outcome.status));
    CHECK(WTERMSIG(outcome.status) == SIGKILL);
    CHECK(outcome.system_call == call);
}

std::size_t open_descriptors(pid_t pid)
{
    const std::filesystem::directory_iterator all{"/proc/" + std::to_string(pid) + "/fd"};
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

} // namespace

TEST_CASE("common runtimes live on a strict list")
{
    need_root();
    runs(strict({"/bin/sh", "-c", "ls -l / >/dev/null; echo Linux | sed s/L/l/"}), "linux\n");
    runs(strict_python("import asyncio, json, multiprocessing, socket, sqlite3, ssl, subprocess, tempfile, threading\n"
                       "thread = threading.Thread(target=lambda: None); thread.start(); thread.join()\n"
                       "server = socket.create_server(('127.0.0.1', 0))\n"
                       "pair = socket.socketpair(); pair[0].sendmsg([b'x']); pair[1].recv(1)\n"
                       "asyncio.run(asyncio.sleep(0.01))\n"
                       "ssl.create_default_context()\n"
                       "subprocess.run(['/bin/true'], check=True)\n"
                       "with tempfile.NamedTemporaryFile() as file: os.chmod(file.name, 0o600)\n"
                       "child = multiprocessing.Process(target=print, args=('child',)); child.start(); child.join()"),
         "child\n");
    if (std::filesystem::exists("/usr/bin/node"))
        runs(strict({"/usr/bin/node", "-e",
                     "const {Worker} = require('worker_threads');"
                     "require('child_process').execFileSync('/bin/true');"
                     "require('fs').promises.readFile('/etc/hostname').then(() => "
                     "new Worker('', {eval: true}).on('exit', () => setTimeout(() => console.log('done'), 10)))"}),
             "done\n");
    else
        WARN("node is not installed");
}

TEST_CASE("a module dies of the first call that is not on its list, and the call is named")
{
    need_root();
    is_killed_for(SYS_chroot, "c.chroot(b'/')");
    is_killed_for(SYS_mount, "c.mount(b'tmpfs', b'/mnt', b'tmpfs', 0, None)");
    is_killed_for(SYS_ptrace, "c.ptrace(0, 0, None, None)");
    is_killed_for(SYS_keyctl, "c.syscall(250, 0, 0, 0)");
    is_killed_for(SYS_chroot,
                  "import threading\nt = threading.Thread(target=lambda: c.chroot(b'/')); t.start(); t.join()");
    is_killed_for(SYS_chroot, "if os.fork() == 0: c.chroot(b'/')\nos.wait()");
}

TEST_CASE("an explicit entry takes away from a strict list, or adds to it")
{
    need_root();
    const std::vector<std::string> program{python, "-c", "import os\nos.chroot('/')"};
    CHECK(start(strict(program)).system_call == SYS_chroot);
    const auto allowed = start(strict(program, {"@mount"}));
    CHECK(allowed.system_call == -1);
    CHECK_THAT(allowed.output, Catch::Contains("Operation not permitted")); // by the kernel
    CHECK(
        start(strict({python, "-c", "import os\nos.getpriority(os.PRIO_PROCESS, 0)"}, {"~getpriority"})).system_call ==
        SYS_getpriority);
}

TEST_CASE("what runtimes try, and what is newer than any list, fails without harm")
{
    need_root();
    const auto error = [](const std::string& call) { return "c." + call + "\nprint(ctypes.get_errno())"; };
    runs(strict_python(error("syscall(1022)")), std::to_string(ENOSYS) + '\n');
    runs(strict_python(error("syscall(" + std::to_string(SYS_io_uring_setup) + ", 1, None)")),
         std::to_string(EPERM) + '\n');
    runs(strict_python(error("syscall(" + std::to_string(SYS_clone3) + ", None, 0)")), std::to_string(ENOSYS) + '\n');
    runs(strict_python(error("prlimit(os.getppid(), 0, None, None)")), std::to_string(EPERM) + '\n');
    runs(strict_python(error("ioctl(0, 0x5412, b'x')")), std::to_string(EPERM) + '\n');
}

#ifdef __x86_64__
TEST_CASE("calls of another architecture kill the process")
{
    need_root();
    constexpr int x32_getpid = 0x40000000 + SYS_getpid;
    const auto outcome = start(strict_python("c.syscall(" + std::to_string(x32_getpid) + ")\nprint('survived')"));
    CHECK(outcome.output.empty());
    CHECK(WTERMSIG(outcome.status) == SIGSYS);
}
#endif

TEST_CASE("a forbidden call ends the module's tree, wherever in it, and nothing else")
{
    const Notes notes;
    auto stray = strict_python("if os.fork() == 0:\n"
                               "    os.setsid()\n"
                               "    open('stray', 'w').write(str(os.getpid()))\n"
                               "    c.chroot(b'/')\n"
                               "    open('survived', 'w')\n"
                               "os.wait()\n"
                               "import time; time.sleep(60)");
    stray.working_directory = notes.path.string();
    Running launcher{plan_of({unprivileged({"/bin/sleep", "60"}), stray})};
    launcher.say(Start{});
    const auto neighbour = launcher.expect<Started>();
    launcher.say(Start{.module = 1});
    const auto started = launcher.expect<Started>();
    const auto exited = launcher.expect<Exited>();
    CHECK(exited.pid == started.pid);
    CHECK(exited.system_call == SYS_chroot);
    CHECK(WTERMSIG(exited.status) == SIGKILL);
    CHECK(ends(notes.pid("stray")));
    CHECK_FALSE(std::filesystem::exists(notes.path / "survived"));
    CHECK(exists(neighbour.pid));
    launcher.say(Finish{.exit_code = 42});
    CHECK(launcher.exit_code() == 42);
}

TEST_CASE("a module starts again after a forbidden call, and no descriptor is left")
{
    Running launcher{plan_of({strict({"/bin/sh", "-c", "exit 7"}, {"~getppid"}), strict({"/bin/sh", "-c", "exit 7"})})};
    std::size_t before = 0;
    for (std::uint32_t attempt = 0; attempt < 20; ++attempt) {
        launcher.say(Start{.attempt = attempt});
        launcher.expect<Started>();
        CHECK(launcher.expect<Exited>().system_call == SYS_getppid);
        launcher.say(Start{.module = 1, .attempt = attempt});
        launcher.expect<Started>();
        const auto exited = launcher.expect<Exited>();
        CHECK(WEXITSTATUS(exited.status) == 7);
        CHECK(exited.system_call == -1);
        if (attempt == 0)
            before = open_descriptors(launcher.pid);
    }
    CHECK(open_descriptors(launcher.pid) == before);
    launcher.say(Finish{});
    CHECK(launcher.exit_code() == 0);
}

TEST_CASE("a start whose listener cannot be handed over fails")
{
    auto channel = make_status_channel();
    REQUIRE(channel);
    CHECK(receive_status(channel->launcher.get()).kind == Status::Kind::nothing);
    REQUIRE(send_listener(channel->child.get(), STDIN_FILENO) == 0);
    SECTION("there is no descriptor left for it")
    {
        rlimit former{};
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &former) == 0);
        const rlimit none{0, former.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
        const auto status = receive_status(channel->launcher.get());
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &former) == 0);
        CHECK(status.kind == Status::Kind::failed);
        CHECK(status.failure.stage == StageId::system_call_filter);
        CHECK(status.failure.error == EMFILE);
    }
    SECTION("otherwise it arrives, and then the end")
    {
        const auto status = receive_status(channel->launcher.get());
        CHECK(status.kind == Status::Kind::listener);
        CHECK(status.listener);
        channel->child.reset();
        CHECK(receive_status(channel->launcher.get()).kind == Status::Kind::executes);
    }
}
