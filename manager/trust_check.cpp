// SPDX-License-Identifier: Apache-2.0
#include "manager/trust_check.hpp"

#include "launcher/trust.hpp"

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

class Checker
{
public:
    explicit Checker(uid_t trusted_owner) : trusted_owner_(trusted_owner) {}

    void file(const fs::path& path)
    {
        if (!seen_.insert(path).second)
            return;
        if (const auto opened = launcher::open_trusted(path.string(), trusted_owner_); !opened)
            objections_.insert(opened.error());
    }

    /// Everything below, and below the directories that symbolic links lead to.
    void tree(const fs::path& directory)
    {
        file(directory);
        std::error_code error;
        const auto real = fs::canonical(directory, error);
        if (error || !seen_trees_.insert(real).second)
            return note(directory, error);
        fs::recursive_directory_iterator entry{real, error};
        for (; !error && entry != fs::recursive_directory_iterator{}; entry.increment(error)) {
            file(entry->path());
            std::error_code unknown; // a link that leads nowhere, which file() has noted
            if (entry->is_symlink(unknown) && entry->is_directory(unknown))
                tree(entry->path());
        }
        note(directory, error);
    }

    [[nodiscard]] std::vector<std::string> objections() const { return {objections_.begin(), objections_.end()}; }

private:
    void note(const fs::path& path, const std::error_code& error)
    {
        if (error)
            objections_.insert(path.string() + ": " + error.message());
    }

    uid_t trusted_owner_;
    std::set<fs::path> seen_;
    std::set<fs::path> seen_trees_;
    std::set<std::string> objections_; ///< a bad directory is met once for each file below it
};

} // namespace

std::vector<std::string> untrusted_files(const config::Configuration& configuration, const launcher::LaunchPlan& plan,
                                         const std::string& launcher)
{
    Checker check{plan.trusted_owner};
    check.file(launcher);
    for (const auto& source : configuration.sources)
        check.file(source);
    std::set<fs::path> directories;
    for (const auto& module : plan.modules) {
        check.file(module.program);
        directories.insert(configuration.settings.modules_dir / module.name);
    }
    for (const auto& directory : directories)
        check.tree(directory);
    return check.objections();
}

} // namespace belay::manager
