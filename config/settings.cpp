// SPDX-License-Identifier: Apache-2.0
#include "config/files.hpp"
#include "config/nearest.hpp"
#include "config/workspace.hpp"
#include "launcher/errno_text.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

namespace belay::config {

namespace fs = std::filesystem;

namespace {

bool holds_everest(const fs::path& prefix)
{
    std::error_code error;
    return fs::is_directory(prefix / "share" / "everest", error);
}

/// What is said of a path that cannot be used.
struct Missing
{
    explicit Missing(const fs::path& path, std::string hint = {})
    {
        const auto closed = closed_directory(path);
        why = closed.empty() ? "does not exist"
                             : std::string{"cannot be reached: "} + errno_text(EACCES) + " for `" + closed + '`';
        remedy = closed.empty() ? std::move(hint) : "let the user that starts the manager search that directory";
    }

    std::string why;
    std::string remedy;
};

/// Whether what is in `directory` can be reached; if not, `what` it is was said once.
bool can_be_searched(Workspace& work, const fs::path& directory, const std::string& what)
{
    const auto inside = directory / "x";
    if (closed_directory(inside).empty())
        return true;
    const Missing missing{inside};
    work.diagnostics.error({}, what + '`' + directory.string() + "` " + missing.why, missing.remedy);
    return false;
}

/// Sets `result` to the prefix; false if it is no directory.
bool resolve_prefix(Workspace& work, fs::path& result)
{
    const auto wanted = wanted_prefix(work.options);
    std::error_code error;
    if (!can_be_searched(work, wanted, "the prefix "))
        return false;
    if (!fs::is_directory(wanted, error)) {
        work.diagnostics.error({}, "the prefix `" + wanted.string() + "` is not a directory", "check --prefix");
        return false;
    }
    result = fs::canonical(wanted, error);
    work.result.sources.insert(fs::absolute(wanted)); // links on the way there choose the prefix
    return !error;
}

/// /etc for /usr, else `<prefix>/etc`.
fs::path etc_of(const fs::path& prefix)
{
    return prefix == "/usr" ? fs::path{"/etc"} : prefix / "etc";
}

/// The directory the configurations are in: `/x/usr` has them in `/x/etc/everest`.
fs::path configs_of(const fs::path& prefix)
{
    const auto etc = prefix.filename() == "usr" ? prefix.parent_path() / "etc" : etc_of(prefix);
    return etc / "everest";
}

/// EVerest tries a .json name as .yaml first.
fs::path yaml_instead_of_json(fs::path file)
{
    std::error_code error;
    if (auto yaml = fs::path{file}.replace_extension(".yaml"); file.extension() == ".json" && fs::exists(yaml, error))
        return yaml;
    return file;
}

/// Standard input, or a descriptor of the shell's.
bool is_nameless(const fs::path& file)
{
    const auto text = file.string();
    return (text.starts_with("/dev/") || text.starts_with("/proc/")) && file.extension().empty();
}

void report_missing_config(Workspace& work, const fs::path& wanted, const fs::path& looked_for)
{
    auto names = stems(looked_for.parent_path());
    std::erase(names, "belay"); // belay.yaml is none
    const auto hint = suggest(wanted.string(), names);
    work.diagnostics.error({looked_for.string(), 0, 0, 0},
                           "there is no such configuration" + (wanted.is_absolute() || wanted.extension() == ".yaml"
                                                                   ? std::string{}
                                                                   : ", and no file `" + wanted.string() + "` either"),
                           hint.empty() ? "check --config" : hint);
}

bool resolve_config_file(Workspace& work)
{
    auto& settings = work.result.settings;
    const auto directory = etc_of(settings.prefix) / "everest";
    const fs::path wanted = work.options.config.empty() ? fs::path{"default.yaml"} : fs::path{work.options.config};
    if (is_nameless(wanted)) {
        work.diagnostics.error({wanted.string(), 0, 0, 0}, "a configuration must have a name: a reload reads it again",
                               "write it to a file that is called .yaml");
        return false;
    }
    fs::path file = work.options.config.empty() ? directory / wanted : wanted;
    if (!entry_exists(file) && file.extension() != ".yaml")
        file = directory / (wanted.string() + ".yaml");
    if (!entry_exists(file)) {
        report_missing_config(work, wanted, file);
        return false;
    }
    std::error_code error;
    if (fs::is_regular_file(file, error) && file.extension() != ".yaml" && file.extension() != ".json") {
        work.diagnostics.error({file.string(), 0, 0, 0}, "a configuration's name must end in .yaml", "rename the file");
        return false;
    }
    if (file.extension() == ".json")
        work.diagnostics.warning({file.string(), 0, 0, 0}, "a configuration called .json is deprecated",
                                 "call it .yaml; JSON is YAML");
    file = yaml_instead_of_json(file);
    work.result.sources.insert(fs::absolute(file)); // links on the way there choose the configuration
    const auto real = fs::canonical(file, error);
    settings.config_file = error ? file : real;
    return true;
}

class SettingsReader
{
public:
    SettingsReader(Workspace& work, const Node* node) : work_(work), node_(node) {}

    [[nodiscard]] std::string text(const char* key, std::string fallback) const
    {
        return node_ == nullptr ? std::move(fallback) : node_->string_at(key, std::move(fallback));
    }
    [[nodiscard]] bool flag(const char* key) const { return node_ != nullptr && node_->boolean_at(key); }
    [[nodiscard]] const Node* find(const char* key) const { return node_ == nullptr ? nullptr : node_->find(key); }

    /// A directory, relative to the prefix; one that is missing is an error, and then the path is empty.
    fs::path directory(const char* key, const fs::path& fallback) const
    {
        if (find(key) == nullptr && fallback.empty())
            return {}; // below a directory that was reported
        const auto path = work_.result.settings.prefix / text(key, fallback.string());
        std::error_code error;
        if (fs::is_directory(path, error))
            return fs::canonical(path, error);
        const Missing missing{path};
        complain(key, "the directory `" + path.string() + "` (" + key + ") " + missing.why, missing.remedy);
        return {};
    }

    void complain(const char* key, const std::string& message, const std::string& hint = {}) const
    {
        if (const auto* node = find(key); node != nullptr)
            report_error(work_.diagnostics, *node, message, hint);
        else
            work_.diagnostics.error({}, message,
                                    hint.empty() ? "check --prefix, or set `" + std::string{key} + "`" : hint);
    }

private:
    Workspace& work_;
    const Node* node_;
};

std::string with_slash(std::string text)
{
    if (text.empty() || text.back() != '/')
        text += '/';
    return text;
}

void resolve_port(Workspace& work, const SettingsReader& reader)
{
    auto& broker = work.result.settings.broker;
    constexpr int largest = 65535;
    if (const auto* port = reader.find("mqtt_broker_port"); port != nullptr && port->is(Node::Kind::integer)) {
        if (port->integer < 1 || port->integer > largest)
            report_error(work.diagnostics, *port, "mqtt_broker_port must be between 1 and 65535");
        else
            broker.port = static_cast<std::uint16_t>(port->integer);
    }
    const auto found = work.options.environment.find("MQTT_SERVER_PORT");
    if (found == work.options.environment.end())
        return;
    std::uint16_t value = 0;
    const auto* end = found->second.data() + found->second.size();
    const auto [stop, code] = std::from_chars(found->second.data(), end, value);
    if (code == std::errc{} && stop == end && value != 0)
        broker.port = value;
    else
        work.diagnostics.warning(
            {}, "the environment variable MQTT_SERVER_PORT=`" + found->second + "` is no port number and is ignored",
            "set it to a number from 1 to 65535");
}

/// Modules would start and never hear of each other: nobody may publish there, or nobody else gets to see it.
void check_everest_prefix(const SettingsReader& reader, const std::string& prefix)
{
    const bool wild = prefix.find_first_of("+#") != prefix.npos;
    const bool control = std::any_of(prefix.begin(), prefix.end(), [](unsigned char c) { return c < ' '; });
    if (wild || control || prefix.starts_with('$'))
        reader.complain("mqtt_everest_prefix",
                        "the prefix of all topics `" + prefix + "` " +
                            (wild      ? "has a wildcard, `+` or `#`, in it"
                             : control ? "has a control character in it"
                                       : "begins with `$`, as only the broker's own topics do"),
                        "choose another mqtt_everest_prefix, or --mqtt_everest_prefix, such as `everest/2`");
}

void resolve_broker(Workspace& work, const SettingsReader& reader)
{
    auto& broker = work.result.settings.broker;
    broker.socket_path = reader.text("mqtt_broker_socket_path", {});
    broker.host = reader.text("mqtt_broker_host", {});
    const auto address = work.options.environment.find("MQTT_SERVER_ADDRESS");
    if (address != work.options.environment.end() && !address->second.empty())
        broker.host = address->second;
    if (!broker.socket_path.empty() && !broker.host.empty())
        reader.complain("mqtt_broker_socket_path",
                        "both a socket path and a host are given for the MQTT broker (host `" + broker.host + "`)",
                        "remove mqtt_broker_socket_path, or mqtt_broker_host and MQTT_SERVER_ADDRESS");
    if (broker.socket_path.empty() && broker.host.empty())
        broker.host = "localhost";
    resolve_port(work, reader);
    broker.everest_prefix =
        with_slash(work.options.everest_prefix.value_or(reader.text("mqtt_everest_prefix", "everest")));
    check_everest_prefix(reader, broker.everest_prefix);
    broker.external_prefix = reader.text("mqtt_external_prefix", {});
    if (broker.everest_prefix == broker.external_prefix)
        reader.complain("mqtt_external_prefix",
                        "mqtt_everest_prefix and mqtt_external_prefix are both `" + broker.external_prefix + "`",
                        "choose different prefixes");
}

void resolve_directories(Workspace& work, const SettingsReader& reader)
{
    auto& settings = work.result.settings;
    std::error_code error;
    settings.data_dir = settings.prefix / "share" / "everest";
    if (!fs::is_directory(settings.data_dir, error)) {
        const Missing missing{settings.data_dir, "EVerest is not installed there; check --prefix"};
        work.diagnostics.error({}, '`' + settings.data_dir.string() + "` " + missing.why, missing.remedy);
        settings.data_dir.clear();
    } else if (!can_be_searched(work, settings.data_dir, "EVerest in ")) {
        settings.data_dir.clear();
    }
    const auto share = [&](const char* name) {
        return settings.data_dir.empty() ? fs::path{} : settings.data_dir / name;
    };
    settings.etc_dir = reader.directory("configs_dir", configs_of(settings.prefix));
    settings.schemas_dir = reader.directory("schemas_dir", share("schemas"));
    settings.interfaces_dir = reader.directory("interfaces_dir", share("interfaces"));
    settings.types_dir = reader.directory("types_dir", share("types"));
    settings.errors_dir = reader.directory("errors_dir", share("errors"));
    settings.www_dir = reader.directory("www_dir", share("www"));
    settings.modules_dir = reader.directory("modules_dir", settings.prefix / "libexec" / "everest" / "modules");
    const auto logging = etc_of(settings.prefix) / "everest" / "default_logging.cfg";
    settings.logging_config_file = settings.prefix / reader.text("logging_config_file", logging.string());
    if (fs::is_regular_file(settings.logging_config_file, error))
        work.result.sources.insert(settings.logging_config_file); // it says which files modules write
    else
        reader.complain("logging_config_file",
                        "the logging configuration `" + settings.logging_config_file.string() + "` " +
                            (fs::exists(settings.logging_config_file, error)
                                 ? "is no file"
                                 : Missing{settings.logging_config_file}.why),
                        Missing{settings.logging_config_file}.remedy);
}

} // namespace

/// A build that was copied to where EVerest is installed needs no `--prefix`.
fs::path wanted_prefix(const LoadOptions& options)
{
    if (!options.prefix.empty())
        return options.prefix;
    const bool moved = !holds_everest(BELAY_INSTALL_PREFIX) && !options.program_prefix.empty();
    return moved && holds_everest(options.program_prefix) ? options.program_prefix : BELAY_INSTALL_PREFIX;
}

bool resolve_settings(Workspace& work, bool need_config)
{
    auto& settings = work.result.settings;
    if (!resolve_prefix(work, settings.prefix))
        return false;
    const Node* node = nullptr;
    if (need_config || !work.options.config.empty()) {
        if (!resolve_config_file(work))
            return false;
        auto main = work.read(settings.config_file);
        if (!main)
            return false;
        work.main = std::move(*main);
        node = work.main.find("settings");
    }
    const SettingsReader reader{work, node};
    resolve_directories(work, reader);
    resolve_broker(work, reader);
    settings.telemetry_prefix = with_slash(reader.text("telemetry_prefix", "everest-telemetry"));
    settings.telemetry_enabled = reader.flag("telemetry_enabled");
    settings.validate_schema = reader.flag("validate_schema");
    settings.forward_exceptions = reader.flag("forward_exceptions");
    settings.run_as_user = reader.text("run_as_user", {});
    if (!settings.data_dir.empty())
        settings.version = read_file(settings.data_dir / "version_information.txt").value_or(std::string{});
    if (const auto* user = reader.find("run_as_user"); user != nullptr)
        work.result.origins["run_as_user"] = {location_of(*user), user->file->line(user->line)};
    return true;
}

} // namespace belay::config
