// SPDX-License-Identifier: Apache-2.0
#include "launcher/cgroup.hpp"

#include "launcher/complaint.hpp"
#include "launcher/control_files.hpp"
#include "launcher/delegation.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/raw_calls.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <set>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr mode_t directory_mode = 0755;
constexpr int patience_ms = 2000; ///< for the end of who was killed
constexpr std::size_t longest_name = 200;
constexpr const char* process_leaf = "run";
constexpr const char* processes_file = "cgroup.procs";
constexpr const char* controllers_file = "cgroup.subtree_control";

using Result = tl::expected<void, std::string>;

tl::unexpected<std::string> failure(const std::string& what, const std::string& path, int error)
{
    return tl::unexpected("could not " + what + ' ' + path + ": " + errno_text(error) + " (" + errno_name(error) +
                          "); let systemd delegate the service's control group with Delegate=yes, or no limits that "
                          "need one");
}

FileDescriptor open_directory(int base, const char* name) noexcept
{
    return FileDescriptor{::openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
}

/// What precedes the dot: the controller whose file it is. "cgroup" is none: those files are always there.
std::string controller_of(const std::string& file)
{
    return file.substr(0, file.find('.'));
}

bool is_plain(char character)
{
    return (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
           (character >= '0' && character <= '9') || character == '_' || character == '-';
}

/// No control file ends so, nor does the supervisor's leaf. Ids of other letters go by number.
std::string group_name(const std::string& id, std::size_t number)
{
    const bool plain = !id.empty() && id.size() <= longest_name && std::all_of(id.begin(), id.end(), is_plain);
    return (plain ? id : "#" + std::to_string(number)) + ".module";
}

/// Writes each pid that `from` lists to `to`'s processes. The number of those that moved, or -errno.
int move_all(int from, int to) noexcept
{
    const FileDescriptor list{::openat(from, processes_file, O_RDONLY | O_CLOEXEC)};
    std::array<char, 4096> buffer{};
    const auto size = list ? ::read(list.get(), buffer.data(), buffer.size()) : -1;
    if (size < 0)
        return -errno;
    std::string_view rest{buffer.data(), static_cast<std::size_t>(size)};
    int moved = 0;
    for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
        const int error = write_control(to, processes_file, rest.substr(0, end));
        if (error != 0 && error != ESRCH)
            return -error;
        ++moved;
        rest.remove_prefix(end + 1);
    }
    return moved;
}

/// mkdirat(2), for a group that is new: a predecessor's is killed and removed first.
int make_fresh(int base, const char* name) noexcept
{
    if (::mkdirat(base, name, directory_mode) == 0)
        return 0;
    if (errno != EEXIST)
        return errno;
    const auto old = open_directory(base, name);
    const FileDescriptor events{::openat(old.get(), "cgroup.events", O_RDONLY | O_CLOEXEC)};
    if (const int error = write_control(old.get(), "cgroup.kill", "1"); error != 0)
        return error;
    if (!wait_until_empty(events.get(), patience_ms))
        return EBUSY;
    if (::unlinkat(old.get(), process_leaf, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return errno;
    return ::unlinkat(base, name, AT_REMOVEDIR) == 0 && ::mkdirat(base, name, directory_mode) == 0 ? 0 : errno;
}

} // namespace

tl::expected<ControlGroups, std::string> ControlGroups::create(const LaunchPlan& plan)
{
    ControlGroups result;
    if (plan.cgroup.empty())
        return result;
    result.path_ = plan.cgroup;
    result.base_ = open_directory(AT_FDCWD, plan.cgroup.c_str());
    if (!result.base_)
        return failure("open", plan.cgroup, errno);
    auto done = result.move_processes();
    if (done)
        done = result.enable_controllers(plan);
    for (auto module = plan.modules.begin(); done && module != plan.modules.end(); ++module)
        done = result.make_group(*module);
    if (!done) {
        result.remove_groups();
        return tl::unexpected(done.error());
    }
    return result;
}

Result ControlGroups::move_processes()
{
    constexpr int most_rounds = 16;
    const auto leaf_path = path_ + '/' + supervisor_leaf;
    if (::mkdirat(base_.get(), supervisor_leaf, directory_mode) != 0 && errno != EEXIST)
        return failure("create", leaf_path, errno);
    const auto leaf = open_directory(base_.get(), supervisor_leaf);
    if (!leaf)
        return failure("open", leaf_path, errno);
    int moved = 1;
    for (int round = 0; moved > 0 && round < most_rounds; ++round)
        moved = move_all(base_.get(), leaf.get());
    if (moved != 0)
        return failure("move all processes to", leaf_path, moved < 0 ? -moved : EBUSY);
    return {};
}

Result ControlGroups::enable_controllers(const LaunchPlan& plan)
{
    std::set<std::string> needed;
    for (const auto& module : plan.modules)
        for (const auto& setting : module.cgroup)
            needed.insert(controller_of(setting.file));
    needed.erase("cgroup");
    for (const auto& controller : needed) {
        if (const int error = write_control(base_.get(), controllers_file, '+' + controller); error != 0)
            return failure("enable the controller `" + controller + "` in", path_ + '/' + controllers_file, error);
        enabled_.push_back('-' + controller);
    }
    return {};
}

Result ControlGroups::make_group(const ProcessPlan& module)
{
    const auto name = group_name(module.id, groups_.size());
    const auto path = path_ + '/' + name;
    if (const int error = make_fresh(base_.get(), name.c_str()); error != 0)
        return failure("create", path, error);
    auto& group = groups_.emplace_back();
    group.name = name;
    group.directory = open_directory(base_.get(), group.name.c_str());
    if (!group.directory)
        return failure("open", path, errno);
    for (const auto& setting : module.cgroup)
        if (const int error = write_control(group.directory.get(), setting.file.c_str(), setting.value); error != 0)
            return failure("write " + setting.value + " to", path + '/' + setting.file, error);
    const int directory = group.directory.get();
    group.kill = FileDescriptor{::openat(directory, "cgroup.kill", O_WRONLY | O_CLOEXEC)};
    if (!group.kill)
        return failure("open", path + "/cgroup.kill (since Linux 5.14)", errno);
    group.events = FileDescriptor{::openat(directory, "cgroup.events", O_RDONLY | O_CLOEXEC)};
    if (!group.events)
        return failure("open", path + "/cgroup.events", errno);
    group.memory_events = FileDescriptor{::openat(directory, "memory.events", O_RDONLY | O_CLOEXEC)};
    if (!group.memory_events && errno != ENOENT) // it comes with the controller
        return failure("open", path + "/memory.events", errno);
    return {};
}

tl::expected<FileDescriptor, int> ControlGroups::make_leaf(std::size_t module) const noexcept
{
    if (module >= groups_.size())
        return FileDescriptor{};
    const int group = groups_[module].directory.get();
    if (::unlinkat(group, process_leaf, AT_REMOVEDIR) != 0 && errno != ENOENT)
        return tl::unexpected(errno);
    auto leaf =
        ::mkdirat(group, process_leaf, directory_mode) == 0 ? open_directory(group, process_leaf) : FileDescriptor{};
    return leaf ? tl::expected<FileDescriptor, int>{std::move(leaf)} : tl::unexpected(errno);
}

int ControlGroups::events(std::size_t module) const noexcept
{
    return module < groups_.size() ? groups_[module].events.get() : -1;
}

void ControlGroups::kill(std::size_t module) const noexcept
{
    if (module < groups_.size() && ::write(groups_[module].kill.get(), "1", 1) != 1)
        complain("could not kill all of %s/%s: %s", path_.c_str(), groups_[module].name.c_str(), errno_text(errno));
}

bool ControlGroups::populated(std::size_t module) const noexcept
{
    return module < groups_.size() && is_populated(groups_[module].events.get());
}

std::uint32_t ControlGroups::take_oom_kills(std::size_t module) noexcept
{
    if (module >= groups_.size() || !groups_[module].memory_events)
        return 0;
    auto& group = groups_[module];
    const auto now = read_counter(group.memory_events.get(), "oom_kill");
    return static_cast<std::uint32_t>(now - std::exchange(group.oom_kills, now));
}

int ControlGroups::remove_groups() noexcept
{
    int error = 0;
    const auto note = [&](int result) { error = error != 0 || result == 0 || result == ENOENT ? error : result; };
    for (const auto& group : groups_) {
        wait_until_empty(group.events.get(), patience_ms);
        note(errno_of(::unlinkat(group.directory.get(), process_leaf, AT_REMOVEDIR)));
        note(errno_of(::unlinkat(base_.get(), group.name.c_str(), AT_REMOVEDIR)));
    }
    for (const auto& controller : enabled_)
        note(write_control(base_.get(), controllers_file, controller));
    return error;
}

void ControlGroups::remove() noexcept
{
    if (!base_)
        return;
    int error = remove_groups();
    if (error == 0)
        error = write_control(base_.get(), processes_file, "0");
    if (error == 0)
        error = errno_of(::unlinkat(base_.get(), supervisor_leaf, AT_REMOVEDIR));
    if (error != 0)
        complain("could not remove all control groups of %s: %s", path_.c_str(), errno_text(error));
}

} // namespace belay::launcher
