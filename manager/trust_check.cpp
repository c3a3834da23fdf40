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

    void tree(const fs::path& directory)
    {
        file(directory);
        std::error_code error;
        for (const auto& entry : fs::recursive_directory_iterator{directory, error})
            file(entry.path());
        if (error)
            objections_.insert(directory.string() + ": " + error.message());
    }

    [[nodiscard]] std::vector<std::string> objections() const { return {objections_.begin(), objections_.end()}; }

private:
    uid_t trusted_owner_;
    std::set<fs::path> seen_;
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
