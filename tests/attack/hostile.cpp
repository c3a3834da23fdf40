// SPDX-License-Identifier: Apache-2.0
//
// The hostile module. As the manager starts it, it becomes ready, tries every attempt of the tables and publishes each
// as a line of JSON on the topic attack/<id>, at last {"done": …}. Beside that:
//     hostile --control FILE     the same attempts where nothing protects; the lines go to standard output
//     hostile --victim           waits to be attacked by a control
//     hostile --swap ONE OTHER   exchanges two files until it is killed
//     hostile --whoami           its effective ids and capabilities as JSON

#include "examples/kit/everest_kit.hpp"
#include "tests/attack/attempt.hpp"
#include "tests/integration/mqtt.hpp"

#include <array>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

using namespace attack;
using nlohmann::json;

constexpr std::array groups{identities, executions, kernel,    processes, process_files, inheritance,
                            files,      network,    resources, bus,       survivors};

/// What base_environment() of config/program.cpp lets through, and what the launcher sets.
const std::set<std::string, std::less<>> expected_variables{
    "HOME", "USER", "LOGNAME", "SHELL", "PATH", "PYTHONNOUSERSITE", "LANG", "TZ", "TERM", "NO_COLOR"};

std::vector<std::string> leaked()
{
    std::vector<std::string> result;
    constexpr int most = 1024;
    for (int descriptor = STDERR_FILENO + 1; descriptor < most; ++descriptor)
        if (::fcntl(descriptor, F_GETFD) >= 0)
            result.push_back("descriptor " + std::to_string(descriptor));
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text{*entry};
        if (!expected_variables.contains(text.substr(0, text.find('='))) && !text.starts_with("LC_"))
            result.push_back("variable " + std::string{text});
    }
    return result;
}

/// From what everybody may read of /proc.
void look_around(Context& context)
{
    context.self = ::getpid();
    context.launcher = ::getppid();
    const auto launcher = std::to_string(context.launcher);
    std::ifstream children{"/proc/" + launcher + "/task/" + launcher + "/children"};
    for (pid_t pid = 0; children >> pid;) {
        if (pid == context.self)
            continue;
        if (std::string{slurp(proc(pid, "cmdline")).c_str()}.ends_with("/bin/manager"))
            context.manager = pid;
        else
            context.neighbours.push_back(pid);
    }
    if (context.manager == 0 || context.neighbours.empty())
        throw std::runtime_error{"no manager or no neighbours to be seen"};
}

bool wanted(const Context& context, const Attempt& attempt)
{
    const auto& skipped = context.told.at("skipped");
    const auto name = std::string{attempt.group} + ": " + attempt.name;
    if (std::find(skipped.begin(), skipped.end(), name) != skipped.end() ||
        std::find(skipped.begin(), skipped.end(), attempt.group) != skipped.end())
        return false;
    const auto& only = context.told.at("only");
    if (only.empty())
        return std::strcmp(attempt.group, "bus only") != 0;
    return std::find(only.begin(), only.end(), attempt.name) != only.end();
}

class Hostile
{
public:
    explicit Hostile(everest_kit::Module& module, Context context, const std::string& broker)
        : context_(std::move(context)), mqtt_(broker, 0)
    {
        context_.module = module.id();
        context_.broker = broker;
        // Before it is ready itself, nobody can be told that all are.
        while (context_.told.at("early").get<bool>() && group_ < groups.size())
            step();
        module.on_ready([this, &module] {
            look_around(context_);
            module.every(std::chrono::milliseconds(1), [this] { step(); });
        });
    }

private:
    /// One attempt at a time, so that the module stays a module.
    void step()
    {
        if (group_ == groups.size())
            return;
        const auto table = groups.at(group_)();
        if (next_ == table.size()) {
            next_ = 0;
            if (++group_ == groups.size())
                report({{"done", true}});
            return;
        }
        const auto& attempt = table[next_++];
        if (wanted(context_, attempt))
            report(describe(attempt, run(attempt, context_)));
    }

    void report(const json& line)
    {
        mqtt_.publish("attack/" + context_.module, line.dump(), 2);
        mqtt_.flush();
    }

    Context context_;
    standin::Mqtt mqtt_;
    std::size_t group_ = 0;
    std::size_t next_ = 0;
};

int attack_as_module(int argc, char** argv, Context context)
{
    const everest_kit::Arguments arguments{argc, argv};
    std::string prefix;
    for (int i = 1; i + 1 < argc; i += 2)
        if (std::strcmp(argv[i], "--prefix") == 0)
            prefix = argv[i + 1];
    context.told = json::parse(std::ifstream{prefix + "/share/everest/attack.json"}).at(arguments.module_id);
    if (context.told.contains("mark")) {
        std::ofstream{context.text("mark")} << "ran\n";
        return 0;
    }
    everest_kit::Module module{arguments};
    const Hostile hostile{module, std::move(context), arguments.socket_path};
    return module.run();
}

int attack_unprotected(const char* file, Context context)
{
    context.told = json::parse(std::ifstream{file});
    context.control = true;
    context.self = ::getpid();
    context.launcher = static_cast<pid_t>(context.number("launcher"));
    context.manager = static_cast<pid_t>(context.number("manager"));
    context.neighbours = context.told.at("neighbours").get<std::vector<pid_t>>();
    for (const auto& group : groups)
        for (const auto& attempt : group()) {
            if (!wanted(context, attempt))
                continue;
            std::printf("%s\n", describe(attempt, run(attempt, context)).dump().c_str());
            std::fflush(stdout);
        }
    return 0;
}

int wait_to_be_attacked()
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    std::puts("here");
    std::fflush(stdout);
    for (;;)
        ::pause();
}

int exchange(const char* one, const char* other)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;)
        if (::syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) != 0)
            return 1;
}

int who_am_i()
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> data{};
    ::syscall(SYS_capget, &header, data.data());
    const auto effective = std::uint64_t{data[1].effective} << 32U | data[0].effective;
    std::puts(json{{"euid", ::geteuid()}, {"egid", ::getegid()}, {"effective", effective}}.dump().c_str());
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    const std::string mode = argc > 1 ? argv[1] : "";
    try {
        if (mode != "--victim")
            ::signal(SIGUSR1, SIG_IGN); // what it sends to all
        Context context;
        context.leaked = leaked();
        if (mode == "--whoami")
            return who_am_i();
        if (mode == "--victim")
            return wait_to_be_attacked();
        if (mode == "--swap" && argc == 4)
            return exchange(argv[2], argv[3]);
        if (mode == "--control" && argc == 3)
            return attack_unprotected(argv[2], std::move(context));
        return attack_as_module(argc, argv, std::move(context));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "hostile: %s\n", error.what());
        return 1;
    }
}
