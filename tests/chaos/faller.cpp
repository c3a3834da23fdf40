// SPDX-License-Identifier: Apache-2.0
//
// A module that falls: as often as it is told, each time in another way, at another moment, with other company, as the
// seed has it. What it is about to do is in notes/<id> before it does it, a line for each run, so that nobody has to
// believe the manager. Afterwards it stays. notes/<id>.told: seed, number of falls, and what it does when it stays.
// It looks again at SIGUSR1.
//
// Whoever comes after finds out whether somebody of the run before still lives: all of them share a lock.

#include "tests/integration/mqtt.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;

constexpr std::size_t line_size = 64;

int checked(int result, const char* what)
{
    if (result < 0)
        throw std::system_error{errno, std::generic_category(), what};
    return result;
}

struct Told
{
    std::uint64_t seed = 0;
    unsigned falls = 0;
    bool ready = true;   ///< when it stays
    int slow_ms = 0;     ///< when it stays: from SIGTERM to its end; -1: it does not end
    bool listed = false; ///< it has an allow list of system calls, on which swapoff(2) is not
};

/// What one run does.
struct Fate
{
    std::string_view way, moment, company;
};

constexpr std::array ways{"segv", "abort", "exit-3", "exit-0", "kill", "fpe", "denied"}; // the last: if it is listed
constexpr std::array moments{"at-once", "connected", "ready"};
constexpr std::array companies{"alone", "child", "group", "daemon"};

class Faller
{
public:
    explicit Faller(std::map<std::string, std::string> arguments)
        : arguments_(std::move(arguments)), notes_(arguments_["--prefix"] + "/../notes/" + arguments_["--module"])
    {}

    [[noreturn]] void run()
    {
        // A SIGUSR1 that comes early is not lost.
        ::sigemptyset(&wake_up_);
        ::sigaddset(&wake_up_, SIGUSR1);
        checked(::sigprocmask(SIG_BLOCK, &wake_up_, nullptr), "block SIGUSR1");
        lines_ = checked(::open(notes_.c_str(), O_WRONLY | O_APPEND | O_CREAT, 0644), "open the notes");
        survivor_ = !take_lock();
        look();
        const bool falls = count() < told_.falls;
        const auto fate = choose();
        if (!falls && told_.slow_ms != 0)
            be_slow();
        if (falls) {
            stray_ = bring(fate.company);
            note(fate);
        }
        if (falls && fate.moment == "at-once")
            fall(fate.way);
        standin::Mqtt mqtt{arguments_["--mqtt_broker_socket_path"], 0};
        if (falls && fate.moment == "connected")
            fall(fate.way);
        if (falls || told_.ready)
            mqtt.publish(arguments_["--mqtt_everest_prefix"] + "modules/" + arguments_["--module"] + "/ready",
                         R"({"msg_type": "ModuleReady", "data": true})", 2);
        mqtt.flush();
        if (falls)
            fall(fate.way);
        mqtt.disconnect();
        stray_ = bring("daemon");
        stay();
    }

private:
    /// False if somebody has it even after a while.
    bool take_lock()
    {
        const int lock = checked(::open((notes_ + ".lock").c_str(), O_RDWR | O_CREAT, 0644), "open the lock");
        for (const auto deadline = std::chrono::steady_clock::now() + 3s; ::flock(lock, LOCK_EX | LOCK_NB) != 0;) {
            if (std::chrono::steady_clock::now() > deadline)
                return false;
            ::usleep(500);
        }
        return true;
    }

    void be_slow()
    {
        if (told_.slow_ms < 0) {
            ::signal(SIGTERM, SIG_IGN);
            return;
        }
        ::sigaddset(&wake_up_, SIGTERM);
        checked(::sigprocmask(SIG_BLOCK, &wake_up_, nullptr), "block SIGTERM");
    }

    void look()
    {
        std::ifstream file{notes_ + ".told"};
        if (!(file >> told_.seed >> told_.falls >> told_.ready >> told_.slow_ms >> told_.listed))
            throw std::runtime_error{"nobody told me what to do: " + notes_ + ".told"};
    }

    [[nodiscard]] std::size_t count() const
    {
        struct stat status
        {};
        checked(::fstat(lines_, &status), "look at the notes");
        return static_cast<std::size_t>(status.st_size) / line_size;
    }

    Fate choose() const
    {
        std::seed_seq sequence{static_cast<std::uint32_t>(told_.seed), static_cast<std::uint32_t>(count()),
                               static_cast<std::uint32_t>(std::hash<std::string>{}(arguments_.at("--module")))};
        std::mt19937 random{sequence};
        return {ways.at(random() % (told_.listed ? ways.size() : ways.size() - 1)),
                moments.at(random() % moments.size()), companies.at(random() % companies.size())};
    }

    void note(const Fate& fate) const
    {
        std::array<char, line_size + 1> line{};
        std::snprintf(line.data(), line.size(), "%d %s %s %s %d %s", ::getpid(), fate.way.data(), fate.moment.data(),
                      fate.company.data(), stray_, survivor_ ? "survivor" : "-");
        std::string text{line.data()};
        text.resize(line_size - 1, ' ');
        text += '\n';
        checked(static_cast<int>(::write(lines_, text.data(), text.size())), "write the notes");
    }

    /// A process that waits for its end; its pid when it is what it should be.
    pid_t bring(std::string_view company) const
    {
        if (company == "alone")
            return 0;
        std::array<int, 2> ends{};
        checked(::pipe2(ends.data(), O_CLOEXEC), "make a pipe");
        const pid_t child = checked(::fork(), "fork");
        if (child == 0)
            accompany(company, ends[1]);
        if (company == "daemon")
            checked(::waitpid(child, nullptr, 0), "wait for the first half of a daemon");
        pid_t pid = 0;
        if (::read(ends[0], &pid, sizeof pid) != sizeof pid)
            throw std::runtime_error{"the company did not come"};
        ::close(ends[0]);
        ::close(ends[1]);
        return pid;
    }

    [[noreturn]] static void accompany(std::string_view company, int pipe)
    {
        if (company == "group")
            checked(::setpgid(0, 0), "make a process group");
        if (company == "daemon") {
            checked(::setsid(), "make a session");
            if (checked(::fork(), "fork again") != 0)
                ::_exit(0);
            ::signal(SIGTERM, SIG_IGN);
            ::signal(SIGHUP, SIG_IGN);
        }
        const pid_t self = ::getpid();
        if (::write(pipe, &self, sizeof self) != sizeof self)
            ::_exit(1);
        ::close(pipe);
        for (;;)
            ::pause();
    }

    [[noreturn]] static void fall(std::string_view way)
    {
        if (way == "exit-3")
            ::_exit(3);
        if (way == "exit-0")
            std::exit(0);
        if (way == "segv")
            *static_cast<volatile int*>(nullptr) = 1;
        if (way == "fpe")
            ::raise(SIGFPE);
        if (way == "kill")
            ::raise(SIGKILL);
        if (way == "denied")
            ::syscall(SYS_swapoff, nullptr);
        std::abort();
    }

    [[noreturn]] void stay()
    {
        int number = 0;
        do {
            while (::sigwait(&wake_up_, &number) != 0) {
            }
            if (number == SIGTERM) {
                ::usleep(static_cast<useconds_t>(told_.slow_ms) * 1000);
                ::_exit(0);
            }
            look();
        } while (count() >= told_.falls);
        note({"exit-4", "woken", "daemon"});
        ::_exit(4);
    }

    std::map<std::string, std::string> arguments_;
    std::string notes_;
    Told told_;
    sigset_t wake_up_{};
    int lines_ = -1;
    bool survivor_ = false; ///< somebody of the run before was still there
    pid_t stray_ = 0;
};

} // namespace

int main(int argc, char** argv)
{
    std::map<std::string, std::string> arguments;
    for (int i = 1; i + 1 < argc; i += 2)
        arguments[argv[i]] = argv[i + 1];
    try {
        Faller{std::move(arguments)}.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "faller: %s\n", error.what());
        return 1;
    }
}
