// SPDX-License-Identifier: Apache-2.0
//
// Files that say what root does, files of root's, and files that others may come to execute.

#include "tests/attack/attempt.hpp"

#include <array>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace attack {

namespace {

namespace fs = std::filesystem;

/// A control must leave what it got hold of as it is: it opens and does not write.
Outcome write_one(const Context& context, const char* name)
{
    return judge(try_open(context.text(name), O_WRONLY), {EPERM, EACCES, ETXTBSY});
}

Outcome own_binary(const Context& context)
{
    return write_one(context, "binary");
}

Outcome own_binary_by_proc(const Context& context)
{
    return judge(try_open(proc(context.self, "exe"), O_RDWR), {EPERM, EACCES, ETXTBSY});
}

Outcome manifest(const Context& context)
{
    return write_one(context, "manifest");
}

Outcome configuration(const Context& context)
{
    return write_one(context, "configuration");
}

Outcome belay_yaml(const Context& context)
{
    return write_one(context, "belay_yaml");
}

Outcome launcher(const Context& context)
{
    return write_one(context, "launcher_program");
}

Outcome manager(const Context& context)
{
    return write_one(context, "manager_program");
}

Outcome neighbours_program(const Context& context)
{
    return write_one(context, "neighbours_program");
}

Outcome interface(const Context& context)
{
    return write_one(context, "interface");
}

std::vector<std::string> directories(const Context& context)
{
    return context.told.at("directories").get<std::vector<std::string>>();
}

/// `make` in each directory; what was made goes again.
template <typename Make>
Outcome make_in_each(const std::vector<std::string>& paths, Make make)
{
    return for_each(paths, [&](const std::string& directory) {
        const auto path = directory + "/owned" + std::to_string(::getpid());
        const int result = make(path.c_str());
        if (result >= 0)
            fs::remove(path);
        return result;
    });
}

Outcome create(const Context& context)
{
    return make_in_each(directories(context),
                        [](const char* path) { return try_open(path, O_WRONLY | O_CREAT | O_EXCL); });
}

Outcome create_nameless(const Context& context)
{
    return for_each(directories(context),
                    [](const std::string& directory) { return try_open(directory, O_TMPFILE | O_RDWR); });
}

Outcome create_link(const Context& context)
{
    return make_in_each(directories(context), [](const char* path) { return ::symlink("/etc/shadow", path); });
}

Outcome create_directory(const Context& context)
{
    return make_in_each(directories(context), [](const char* path) { return ::mkdir(path, 0700); });
}

/// As often as a swap between check and start would take.
Outcome swap(const Context& context, unsigned flags)
{
    constexpr int often = 2000;
    const auto binary = context.text("binary");
    const auto other = context.text("open_directory") + "/other" + std::to_string(::getpid());
    fs::copy_file("/bin/true", other);
    for (int i = 0; i < often; ++i)
        if (::syscall(SYS_renameat2, AT_FDCWD, other.c_str(), AT_FDCWD, binary.c_str(), flags) == 0) {
            if (flags == RENAME_EXCHANGE)
                ::syscall(SYS_renameat2, AT_FDCWD, other.c_str(), AT_FDCWD, binary.c_str(), flags);
            return escaped("attempt " + std::to_string(i));
        }
    return judge(-1, {EPERM, EACCES, EXDEV});
}

Outcome swap_binary(const Context& context)
{
    return swap(context, RENAME_EXCHANGE);
}

Outcome rename_directory(const Context& context)
{
    const auto directory = context.text("module_directory");
    const auto moved = directory + ".moved";
    const int result = ::rename(directory.c_str(), moved.c_str());
    if (result == 0)
        ::rename(moved.c_str(), directory.c_str());
    return judge(result);
}

Outcome change_attributes(const Context& context)
{
    const auto binary = context.text("binary");
    if (::chmod(binary.c_str(), 0755) == 0)
        return escaped("chmod");
    return judge(::utimensat(AT_FDCWD, binary.c_str(), nullptr, 0));
}

Outcome passwords(const Context& /*unused*/)
{
    return judge(try_open("/etc/shadow", O_RDONLY));
}

Outcome system_configuration(const Context& /*unused*/)
{
    return for_each({"/etc/passwd", "/etc/group", "/etc/ld.so.cache", "/etc/hosts"},
                    [](const std::string& path) { return try_open(path, O_WRONLY); });
}

Outcome preload_list(const Context& /*unused*/)
{
    const int result = try_open("/etc/ld.so.preload", O_WRONLY | O_CREAT);
    if (result >= 0) // nobody else may come to read it
        ::unlink("/etc/ld.so.preload");
    return judge(result);
}

Outcome jobs(const Context& /*unused*/)
{
    std::vector<std::string> there;
    for (const auto* directory : {"/etc/cron.d", "/etc/systemd/system", "/etc/profile.d", "/usr/local/bin", "/usr/lib",
                                  "/etc/udev/rules.d", "/etc/ld.so.conf.d", "/var/spool/cron"})
        if (fs::is_directory(directory))
            there.emplace_back(directory);
    return for_each(there, [](const std::string& directory) { return try_open(directory, O_TMPFILE | O_RDWR); });
}

Outcome homes_of_others(const Context& /*unused*/)
{
    return judge(try_open("/root", O_RDONLY | O_DIRECTORY));
}

/// In a directory of our own; where hard links are not protected, anybody may.
Outcome hard_link(const Context& context)
{
    const auto source = context.text("secret_file");
    return make_in_each({context.text("open_directory")},
                        [&](const char* path) { return ::link(source.c_str(), path); });
}

Outcome status_fifo(const Context& context)
{
    return judge(try_open(context.text("status_fifo"), O_WRONLY));
}

/// Our home is ours: what counts is that no other module runs it. See test_attack.py for how it ends.
Outcome plant(const Context& context)
{
    const fs::path home = context.text("home");
    const auto library = home / "preload.so";
    const auto mark = [&](const char* name) { return (home / name).string(); };
    fs::copy_file(context.text("preload_library"), library, fs::copy_options::overwrite_existing);
    const auto site = home / ".local/lib" / context.text("python") / "site-packages";
    fs::create_directories(site);
    for (const auto* name : {"usercustomize.py", "sitecustomize.py"})
        std::ofstream{site / name} << "open('" << mark("ran-python") << "', 'w').close()\n";
    std::ofstream{site / "owned.pth"} << "import sys; open('" << mark("ran-python") << "', 'w').close()\n";
    for (const auto* directory : {".node_modules", ".node_libraries", "node_modules"}) {
        fs::create_directories(home / directory / "optional_dependency");
        std::ofstream{home / directory / "optional_dependency/index.js"} << "require('fs').writeFileSync('"
                                                                         << mark("ran-node") << "', '')\n";
    }
    for (const auto* name : {".pam_environment", ".profile", ".bashrc", ".bash_profile", ".environment"})
        std::ofstream{home / name} << "export LD_PRELOAD=" << library.string() << '\n';
    std::ofstream{home / ".npmrc"} << "node-options=--require " << mark("node_modules/optional_dependency") << '\n';
    return fs::exists(library) ? Outcome{Verdict::outside, 0, ""} : unjudged("nothing planted");
}

constexpr std::array table{
    Attempt{"files", "its own binary", "be another program", own_binary},
    Attempt{"files", "its own binary, by /proc", "be another program", own_binary_by_proc},
    Attempt{"files", "its manifest", "ask for capabilities", manifest},
    Attempt{"files", "the configuration", "ask for capabilities", configuration},
    Attempt{"files", "belay.yaml", "allow itself capabilities", belay_yaml},
    Attempt{"files", "the launcher", "be root", launcher},
    Attempt{"files", "the manager", "be root", manager},
    Attempt{"files", "a neighbour's program", "be the neighbour", neighbours_program},
    Attempt{"files", "an interface", "change what is valid", interface},
    Attempt{"files", "create in root's directories", "bring its own", create},
    Attempt{"files", "O_TMPFILE in them", "bring its own", create_nameless},
    Attempt{"files", "symlink in them", "bring its own", create_link},
    Attempt{"files", "mkdir in them (user-config)", "bring an overlay", create_directory},
    Attempt{"files", "swap its binary, in a loop", "be started as another", swap_binary},
    Attempt{"files", "rename its directory", "be started as another", rename_directory},
    Attempt{"files", "chmod, utimes", "open root's files", change_attributes},
    Attempt{"files", "the status FIFO", "lie to the test harness", status_fifo},
    Attempt{"files", "/etc/shadow", "read passwords", passwords},
    Attempt{"files", "/etc/passwd, hosts, ld.so.cache", "change the system", system_configuration},
    Attempt{"files", "/etc/ld.so.preload", "be in every program", preload_list},
    Attempt{"files", "cron, units, udev, profile.d", "have root run its program", jobs},
    Attempt{"files", "/root", "read root's files", homes_of_others},
    Attempt{"files", "hard link to a file of root's", "give it another mode", hard_link},
    Attempt{"files", "plant code at home", "run in a privileged neighbour", plant},
};

} // namespace

std::span<const Attempt> files()
{
    return table;
}

} // namespace attack
