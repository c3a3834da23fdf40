// SPDX-License-Identifier: Apache-2.0
#include "manager/overlay_file.hpp"

#include "config/yaml.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/write_all.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

tl::unexpected<std::string> failure(const fs::path& path, const char* what, int error)
{
    return tl::unexpected(path.string() + ": could not " + what + ": " + errno_text(error));
}

/// The mode of the overlay that is replaced; that of a new one is the configuration's, so that a reload can read it.
std::optional<mode_t> mode_for(const fs::path& overlay, const fs::path& config_file)
{
    struct stat status
    {};
    if (::stat(overlay.c_str(), &status) == 0)
        return status.st_mode & 0777U;
    if (::stat(config_file.c_str(), &status) == 0)
        return (status.st_mode & 0666U) | S_IRUSR | S_IWUSR;
    return std::nullopt;
}

/// A new file under a name that is nobody's; gone again unless it was given another.
class Draft
{
public:
    Draft(const fs::path& final_path, std::optional<mode_t> mode)
        : path_(final_path.parent_path() / ("." + final_path.filename().string() + ".new")),
          final_(final_path),
          mode_(mode)
    {}
    Draft(const Draft&) = delete;
    Draft& operator=(const Draft&) = delete;
    ~Draft()
    {
        if (file_)
            ::unlink(path_.c_str());
    }

    tl::expected<void, std::string> write(std::string_view text)
    {
        ::unlink(path_.c_str()); // of a manager that ended in the middle
        constexpr mode_t usual_mode = 0644;
        file_ = FileDescriptor{::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, usual_mode)};
        if (!file_)
            return failure(path_, "create it", errno);
        if (mode_ && ::fchmod(file_.get(), *mode_) != 0)
            return failure(path_, "set its mode", errno);
        if (const int error = write_all(file_.get(), text); error != 0)
            return failure(path_, "write it", error);
        if (::fsync(file_.get()) != 0)
            return failure(path_, "write it to the medium", errno);
        return {};
    }

    tl::expected<void, std::string> take_the_name()
    {
        if (::rename(path_.c_str(), final_.c_str()) != 0)
            return failure(path_, "rename it", errno);
        file_.reset();
        const FileDescriptor directory{::open(final_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
        if (!directory || ::fsync(directory.get()) != 0)
            return failure(final_.parent_path(), "write it to the medium", errno);
        return {};
    }

private:
    fs::path path_;
    fs::path final_;
    std::optional<mode_t> mode_;
    FileDescriptor file_;
};

/// The directory of a new overlay must survive, too.
tl::expected<void, std::string> make_directory(const fs::path& directory)
{
    constexpr mode_t mode = 0755;
    if (::mkdir(directory.c_str(), mode) != 0) {
        if (errno == EEXIST)
            return {};
        return tl::unexpected(failure(directory, "create it", errno).value() + "; `install -d -o USER " +
                              directory.string() + "`, with the user of the manager, makes it possible");
    }
    const FileDescriptor above{::open(directory.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!above || ::fsync(above.get()) != 0)
        return failure(directory.parent_path(), "write it to the medium", errno);
    return {};
}

/// U+0085 and its like are legal in JSON, but YAML refuses them or takes them for ends of lines. In JSON they can stand
/// in strings only, and there they may be escaped.
std::string to_yaml(const nlohmann::json& value)
{
    constexpr std::array<std::pair<std::string_view, std::string_view>, 6> escapes{{{"\x7f", "\\u007f"},
                                                                                    {"\u2028", "\\u2028"},
                                                                                    {"\u2029", "\\u2029"},
                                                                                    {"\ufeff", "\\ufeff"},
                                                                                    {"\xef\xbf\xbe", "\\ufffe"},
                                                                                    {"\xef\xbf\xbf", "\\uffff"}}};
    const auto json = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    std::string result;
    for (std::size_t at = 0; at < json.size();) {
        const auto rest = std::string_view{json}.substr(at);
        const auto* escape =
            std::ranges::find_if(escapes, [&](const auto& one) { return rest.starts_with(one.first); });
        if (escape != escapes.end()) {
            result += escape->second;
            at += escape->first.size();
        } else if (rest.size() > 1 && rest[0] == '\xc2' &&
                   static_cast<unsigned char>(rest[1]) < 0xa0) { // U+0080 to U+009F
            constexpr std::string_view digits = "0123456789abcdef";
            result +=
                {'\\', 'u', '0', '0', rest[1] < '\x90' ? '8' : '9', digits[static_cast<unsigned char>(rest[1]) & 0xfU]};
            at += 2;
        } else {
            result += rest[0];
            ++at;
        }
    }
    return result + '\n';
}

/// A file that could not be read again would take all that was set before with it.
tl::expected<void, std::string> must_be_readable(const fs::path& path, const std::string& text,
                                                 const nlohmann::json& meant)
{
    constexpr std::size_t largest =
        2'000'000; // each change takes time that grows with it, and nobody is heard meanwhile
    if (text.size() > largest)
        return tl::unexpected(path.string() + ": would become larger than 2 MB");
    config::Diagnostics found;
    const auto node = config::parse_yaml(path.string(), text, found);
    if (node && config::to_json(*node) == meant)
        return {};
    return tl::unexpected(path.string() + ": could not be read again with this value: " +
                          (found.all().empty() ? "it would be another one" : found.all().front().message));
}

nlohmann::json& object_at(nlohmann::json& parent, const std::string& key)
{
    auto& child = parent[key];
    if (!child.is_object())
        child = nlohmann::json::object();
    return child;
}

} // namespace

OverlayFile::OverlayFile(const config::Configuration& configuration)
    : path_(configuration.settings.config_file.parent_path() / "user-config" /
            configuration.settings.config_file.filename()),
      config_file_(configuration.settings.config_file),
      links_refused_(config::values_only(configuration))
{
    std::error_code error;
    if (!links_refused_ && fs::is_symlink(path_, error))
        if (auto target = fs::canonical(path_, error); !error)
            path_ = std::move(target);
}

tl::expected<void, std::string> OverlayFile::prepare(spdlog::logger& log)
{
    const auto directory = path_.parent_path();
    std::error_code error;
    // Where there is none, nobody may want to change anything; if a module does, the error tells what to do.
    if (fs::exists(directory, error) && ::faccessat(AT_FDCWD, directory.c_str(), W_OK, AT_EACCESS) != 0)
        log.warn(
            "parameters cannot be changed at run time: {}: {}; `install -d -o USER {}` makes it possible, with the "
            "user of the manager",
            directory.string(), errno_text(errno), directory.string());
    return {};
}

tl::expected<nlohmann::json, std::string> OverlayFile::read() const
{
    if (!config::entry_exists(path_))
        return nlohmann::json::object();
    config::Diagnostics found;
    const auto node =
        config::load_yaml(path_, found, links_refused_ ? config::Links::refused : config::Links::followed);
    if (node)
        return config::to_json(*node);
    const auto& problems = found.all();
    return tl::unexpected(path_.string() + ": it is not changed, for it cannot be read: " +
                          (problems.empty() ? "" : problems.front().message));
}

tl::expected<void, std::string> OverlayFile::replace(const std::string& text) const
{
    if (auto made = make_directory(path_.parent_path()); !made)
        return made;
    Draft draft{path_, mode_for(path_, config_file_)};
    auto done = draft.write(text);
    return done ? draft.take_the_name() : done;
}

tl::expected<void, std::string> OverlayFile::write(std::span<const Setting> settings)
{
    auto overlay = read();
    if (!overlay)
        return tl::unexpected(overlay.error());
    for (const auto& [parameter, characteristics, value, text] : settings) {
        auto& module = object_at(object_at(*overlay, "active_modules"), parameter.module);
        auto& map = parameter.implementation == "!module"
                        ? object_at(module, "config_module")
                        : object_at(object_at(module, "config_implementation"), parameter.implementation);
        map[parameter.name] = value;
    }
    const auto text = to_yaml(*overlay);
    auto readable = must_be_readable(path_, text, *overlay);
    return readable ? replace(text) : readable;
}

} // namespace belay::manager
