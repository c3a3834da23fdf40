// SPDX-License-Identifier: Apache-2.0
#include "manager/trust_check.hpp"

#include "launcher/trust.hpp"

#include <algorithm>
#include <cstdio>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

class Checker
{
public:
    explicit Checker(uid_t trusted_owner) : trusted_owner_(trusted_owner) {}

    void file(const fs::path& path)
    {
        if (!seen_.insert(path.native()).second)
            return;
        const auto* directory = trusted_directory(path.parent_path());
        if (directory != nullptr && launcher::is_trusted_in(*directory, path.filename().string(), trusted_owner_))
            return;
        if (const auto opened = launcher::open_trusted(path.string(), trusted_owner_); !opened)
            objections_.insert(opened.error());
    }

    /// A directory in which an interpreter looks for files that need not exist: there, sticky is not enough.
    void closed(const fs::path& directory)
    {
        file(directory);
        constexpr auto writers = fs::perms::group_write | fs::perms::others_write;
        std::error_code error;
        const auto mode = fs::status(directory, error).permissions();
        const bool sticky = (mode & fs::perms::sticky_bit) != fs::perms::none; // of others, file() has complained
        if (!error && sticky && (mode & writers) != fs::perms::none)
            objections_.insert(directory.string() + ": others than its owner can create files there; chmod go-w");
    }

    /// Also what symbolic links to directories lead to: an interpreter follows them.
    void tree(const fs::path& directory)
    {
        closed(directory);
        std::error_code error;
        struct stat status
        {};
        if (::stat(directory.c_str(), &status) != 0 || !walked_.emplace(status.st_dev, status.st_ino).second)
            return;
        for (fs::recursive_directory_iterator at{directory, error}; !error && at != fs::recursive_directory_iterator{};
             at.increment(error)) {
            std::error_code ignored; // of a link that leads nowhere: file() says so
            at->is_directory(ignored) ? closed(at->path()) : file(at->path());
            if (at->is_symlink(ignored) && at->is_directory(ignored))
                tree(at->path());
        }
        if (error)
            objections_.insert(directory.string() + ": " + error.message());
    }

    /// What lies directly in it, where the linker looks; a prefix of /usr is too much to walk.
    void entries(const fs::path& directory)
    {
        std::error_code error;
        if (!fs::exists(directory, error))
            return;
        file(directory);
        for (fs::directory_iterator at{directory, error}; !error && at != fs::directory_iterator{}; at.increment(error))
            file(at->path());
        if (error)
            objections_.insert(directory.string() + ": " + error.message());
    }

    /// Nobody may create what is not there yet.
    void tree_or_parent(fs::path directory)
    {
        std::error_code error;
        if (fs::exists(directory, error)) {
            tree(directory);
            return;
        }
        while (directory.has_relative_path() && !fs::exists(directory, error))
            directory = directory.parent_path();
        closed(directory);
    }

    [[nodiscard]] std::vector<std::string> objections() const { return {objections_.begin(), objections_.end()}; }

private:
    /// Each is opened once, from the one above it; null if it is not to be trusted.
    const FileDescriptor* trusted_directory(const fs::path& path)
    {
        const auto [place, is_new] = directories_.try_emplace(path.native());
        if (is_new)
            place->second = open_directory(path);
        return place->second ? &place->second : nullptr;
    }

    FileDescriptor open_directory(const fs::path& path)
    {
        const auto name = path.filename().native();
        const auto* above = path.has_relative_path() && !name.empty() ? trusted_directory(path.parent_path()) : nullptr;
        if (above != nullptr && launcher::is_trusted_in(*above, name, trusted_owner_))
            return FileDescriptor{::openat(above->get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
        auto opened = launcher::open_trusted(path.native(), trusted_owner_); // by way of symbolic links
        return opened ? std::move(*opened) : FileDescriptor{};
    }

    uid_t trusted_owner_;
    std::unordered_set<std::string> seen_;
    std::unordered_map<std::string, FileDescriptor> directories_; ///< its references stay valid
    std::set<std::pair<dev_t, ino_t>> walked_;
    std::set<std::string> objections_; ///< a bad directory is met once for each file below it
};

/// The directories a module's interpreter loads libraries from.
std::vector<std::string> library_directories(const launcher::ProcessPlan& module)
{
    std::vector<std::string> result;
    for (const auto& entry : module.environment) {
        if (!entry.starts_with("PYTHONPATH=") && !entry.starts_with("NODE_PATH="))
            continue;
        for (auto begin = entry.find('=') + 1; begin <= entry.size();) {
            const auto end = std::min(entry.find(':', begin), entry.size());
            if (end > begin)
                result.push_back(entry.substr(begin, end - begin));
            begin = end + 1;
        }
    }
    return result;
}

} // namespace

std::vector<std::string> untrusted_files(const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                                         const std::string& launcher)
{
    Checker check{plan.trusted_owner};
    for (const auto& program : {launcher, plan.invocation.program})
        if (!program.empty())
            check.file(program);
    for (const auto& source : configuration.sources)
        check.file(source);
    std::set<fs::path> directories;
    for (const auto& module : plan.modules) {
        if (!module.program.empty()) // but for a missing one, of which `--check` warns
            check.file(module.program);
        for (const auto& argument : module.arguments) // scripts, and the scripts that are their interpreters
            if (std::error_code ignored; argument.starts_with('/') && fs::is_regular_file(argument, ignored))
                check.file(argument);
        directories.insert(configuration.settings.modules_dir / module.name);
        for (const auto& directory : library_directories(module))
            check.tree_or_parent(directory);
    }
    for (const auto& directory : directories)
        check.tree(directory);
    for (const auto* libraries : {"lib", "lib64", BELAY_INSTALL_LIBDIR}) // native modules load theirs from there
        check.entries(configuration.settings.prefix / libraries);
    return check.objections();
}

tl::expected<uid_t, std::string> trusted_owner(const std::string& user)
{
    if (user.empty())
        return uid_t{0};
    const passwd* found = ::getpwnam(user.c_str());
    if (found == nullptr)
        return tl::unexpected("--trust-files-of: there is no user `" + user + '`');
    std::fprintf(stderr,
                 "manager: WARNING: trusting the files of `%s`: whoever is `%s` is root here. "
                 "Never do this on a charger.\n",
                 user.c_str(), user.c_str());
    return found->pw_uid;
}

} // namespace belay::manager
