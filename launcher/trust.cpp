// SPDX-License-Identifier: Apache-2.0
#include "launcher/trust.hpp"

#include "launcher/errno_text.hpp"

#include <climits>

#include <cerrno>
#include <cstring>
#include <deque>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::launcher {

namespace {

constexpr int most_symlinks = 40; // as the kernel, path_resolution(7)

std::string octal(mode_t mode)
{
    constexpr mode_t permission_bits = 07777;
    std::string digits;
    for (mode_t rest = mode & permission_bits; rest != 0; rest /= 8)
        digits.insert(digits.begin(), static_cast<char>('0' + rest % 8));
    return '0' + digits;
}

/// Empty if only root and `trusted_owner` can write what `status` describes.
std::string objection(const struct stat& status, uid_t trusted_owner)
{
    if (status.st_uid != 0 && status.st_uid != trusted_owner)
        return "belongs to uid " + std::to_string(status.st_uid) + ", not to root; chown root";
    const bool by_others = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
    const bool sticky_directory = S_ISDIR(status.st_mode) && (status.st_mode & S_ISVTX) != 0;
    if (!S_ISLNK(status.st_mode) && by_others && !sticky_directory)
        return "can be written by others than its owner (mode " + octal(status.st_mode) + "); chmod go-w";
    return {};
}

/// Walks a path as the kernel does, component by component, and judges each. `remaining_` is what is still to walk.
class Walk
{
public:
    Walk(const std::string& path, uid_t trusted_owner) : path_(path), trusted_owner_(trusted_owner) { prepend(path); }

    tl::expected<FileDescriptor, std::string> run()
    {
        if (!path_.starts_with('/'))
            return tl::unexpected(path_ + ": is not an absolute path");
        restart();
        if (!current_ || !judge(current_))
            return failure();
        while (!remaining_.empty()) {
            const auto name = std::move(remaining_.front());
            remaining_.pop_front();
            if (!step(name))
                return failure();
        }
        return std::move(current_);
    }

private:
    tl::unexpected<std::string> failure() const
    {
        const std::string error = error_.empty() ? errno_text(errno) : error_;
        if (where_ == path_)
            return tl::unexpected(where_ + ": " + error);
        // Nobody should give somebody's home to root.
        const auto* elsewhere = owned_by_other_ ? ", or put the file below directories of root's" : "";
        return tl::unexpected(where_ + " (on the way to " + path_ + "): " + error + elsewhere);
    }

    void restart()
    {
        where_ = "/";
        current_ = FileDescriptor{::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    }

    void prepend(std::string_view path)
    {
        auto position = remaining_.begin();
        while (!path.empty()) {
            const auto end = std::min(path.find('/'), path.size());
            if (const auto name = path.substr(0, end); !name.empty() && name != ".")
                position = remaining_.insert(position, std::string{name}) + 1;
            path.remove_prefix(std::min(end + 1, path.size()));
        }
    }

    bool judge(const FileDescriptor& descriptor)
    {
        struct stat status
        {};
        if (::fstat(descriptor.get(), &status) != 0)
            return false;
        is_symlink_ = S_ISLNK(status.st_mode);
        error_ = objection(status, trusted_owner_);
        owned_by_other_ = status.st_uid != 0 && status.st_uid != trusted_owner_;
        return error_.empty();
    }

    bool step(const std::string& name)
    {
        FileDescriptor next{::openat(current_.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC)};
        const auto parent = where_;
        where_ = name == ".." ? where_ + "/.." : (where_ == "/" ? "" : where_) + '/' + name;
        if (!next || !judge(next))
            return false;
        if (is_symlink_)
            return follow(next, parent);
        current_ = std::move(next);
        return true;
    }

    bool follow(const FileDescriptor& link, const std::string& parent)
    {
        std::string target(PATH_MAX, '\0');
        const auto size = ::readlinkat(link.get(), "", target.data(), target.size());
        if (size < 0)
            return false;
        target.resize(static_cast<std::size_t>(size));
        if (++symlinks_ > most_symlinks) {
            error_ = errno_text(ELOOP);
            return false;
        }
        prepend(target);
        if (target.starts_with('/'))
            restart();
        else
            where_ = parent;
        return static_cast<bool>(current_);
    }

    const std::string& path_;
    uid_t trusted_owner_;
    std::deque<std::string> remaining_;
    FileDescriptor current_;
    std::string where_;
    std::string error_;
    bool is_symlink_ = false;
    bool owned_by_other_ = false;
    int symlinks_ = 0;
};

} // namespace

tl::expected<FileDescriptor, std::string> open_trusted(const std::string& path, uid_t trusted_owner)
{
    return Walk{path, trusted_owner}.run();
}

bool is_trusted_in(const FileDescriptor& directory, const std::string& name, uid_t trusted_owner)
{
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
        return false;
    struct stat status
    {};
    return ::fstatat(directory.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(status.st_mode) &&
           objection(status, trusted_owner).empty();
}

} // namespace belay::launcher
