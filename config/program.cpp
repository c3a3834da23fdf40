// SPDX-License-Identifier: Apache-2.0
#include "config/program.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace belay::config {

namespace fs = std::filesystem;

namespace {

using Environment = std::map<std::string, std::string>;

constexpr const char* system_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool is_program(const fs::path& path)
{
    std::error_code error;
    return fs::is_regular_file(path, error) && ::access(path.c_str(), X_OK) == 0;
}

std::optional<fs::path> find_in_path(const std::string& name, const std::string& path)
{
    for (std::size_t begin = 0; begin <= path.size();) {
        const auto end = std::min(path.find(':', begin), path.size());
        const auto candidate = fs::path{path.substr(begin, end - begin)} / name;
        if (candidate.is_absolute() && is_program(candidate))
            return candidate;
        begin = end + 1;
    }
    return std::nullopt;
}

/// C++ modules refuse a socket path together with a host, Rust modules demand all three. What tells them apart is a
/// string of Rust's standard library.
bool is_rust_binary(const fs::path& path)
{
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    bool result = false;
    struct stat status
    {};
    if (::fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 4) {
        const auto size = static_cast<std::size_t>(status.st_size);
        void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
        if (memory != MAP_FAILED) {
            constexpr std::string_view mark = "RUST_BACKTRACE";
            result =
                std::memcmp(memory, "\177ELF", 4) == 0 && ::memmem(memory, size, mark.data(), mark.size()) != nullptr;
            ::munmap(memory, size);
        }
    }
    ::close(file);
    return result;
}

/// The interpreter of a "#!" line and its one optional argument; empty if `path` is no script.
std::vector<std::string> shebang(const fs::path& path)
{
    std::array<char, 256> buffer{};
    std::ifstream file{path, std::ios::binary};
    file.read(buffer.data(), buffer.size());
    const std::string_view text{buffer.data(), static_cast<std::size_t>(file.gcount())};
    if (!text.starts_with("#!"))
        return {};
    auto line = text.substr(2, text.find('\n') - 2);
    const auto trim = [](std::string_view part) {
        const auto begin = part.find_first_not_of(" \t\r");
        const auto end = part.find_last_not_of(" \t\r");
        return begin == std::string_view::npos ? std::string_view{} : part.substr(begin, end - begin + 1);
    };
    line = trim(line);
    const auto space = line.find_first_of(" \t");
    std::vector<std::string> result{std::string{line.substr(0, space)}};
    if (space != std::string_view::npos)
        result.emplace_back(trim(line.substr(space)));
    return result;
}

/// The launcher executes a descriptor, which a script's interpreter could not open again: names the interpreter itself.
void resolve_interpreter(launcher::ProcessPlan& process)
{
    constexpr int most = 4;
    for (int level = 0; level < most; ++level) {
        auto line = shebang(process.program);
        if (line.empty() || line.front().empty() || line.front().front() != '/')
            return;
        line.push_back(process.program);
        line.insert(line.end(), process.arguments.begin() + 1, process.arguments.end());
        process.program = line.front();
        process.arguments = std::move(line);
    }
}

std::vector<std::string> native_arguments(const Configuration& configuration, const Module& module,
                                          const fs::path& program)
{
    const auto& settings = configuration.settings;
    const auto& broker = settings.broker;
    std::vector<std::string> result{module.id + ':' + module.name,
                                    "--prefix",
                                    settings.prefix.string(),
                                    "--module",
                                    module.id,
                                    "--log_config",
                                    settings.logging_config_file.string(),
                                    "--mqtt_everest_prefix",
                                    broker.everest_prefix,
                                    "--mqtt_external_prefix",
                                    broker.external_prefix};
    const auto add = [&](std::initializer_list<std::string> more) { result.insert(result.end(), more); };
    if (broker.socket_path.empty())
        add({"--mqtt_broker_host", broker.host, "--mqtt_broker_port", std::to_string(broker.port)});
    else
        add({"--mqtt_broker_socket_path", broker.socket_path});
    if (!broker.socket_path.empty() && is_rust_binary(program))
        add({"--mqtt_broker_host", "localhost", "--mqtt_broker_port", "1883"});
    return result;
}

void add_script_environment(const Configuration& configuration, const Module& module, Environment& environment)
{
    const auto& settings = configuration.settings;
    const auto& broker = settings.broker;
    environment["EV_MODULE"] = module.id;
    environment["EV_PREFIX"] = settings.prefix.string();
    environment["EV_LOG_CONF_FILE"] = settings.logging_config_file.string();
    environment["EV_MQTT_EVEREST_PREFIX"] = broker.everest_prefix;
    environment["EV_MQTT_EXTERNAL_PREFIX"] = broker.external_prefix;
    if (broker.socket_path.empty()) {
        environment["EV_MQTT_BROKER_HOST"] = broker.host;
        environment["EV_MQTT_BROKER_PORT"] = std::to_string(broker.port);
    } else {
        environment["EV_MQTT_BROKER_SOCKET_PATH"] = broker.socket_path;
    }
    if (settings.validate_schema)
        environment["EV_VALIDATE_SCHEMA"] = "1";
}

bool use_python(const Configuration& configuration, const fs::path& script, launcher::ProcessPlan& process,
                Environment& environment)
{
    auto& path = environment["PYTHONPATH"];
    const auto library = (configuration.settings.prefix / "lib" / "everest" / "everestpy").string();
    path = path.empty() ? library : library + ':' + path;
    const auto venv = script.parent_path() / ".venv";
    std::optional<fs::path> interpreter = venv / "bin" / "python3";
    std::string first = interpreter->string();
    if (is_program(*interpreter)) {
        environment["VIRTUAL_ENV"] = venv.string();
        environment["VIRTUAL_ENV_PROMPT"] = "venv";
        environment["PATH"] = (venv / "bin").string() + ':' + environment["PATH"];
    } else {
        interpreter = find_in_path("python3", environment["PATH"]);
        first = "python3";
    }
    process.program = interpreter ? interpreter->string() : std::string{};
    process.arguments = {first, script.string()};
    return interpreter.has_value();
}

bool use_node(const Configuration& configuration, const fs::path& script, launcher::ProcessPlan& process,
              Environment& environment)
{
    environment.try_emplace("NODE_PATH", (configuration.settings.prefix / "lib" / "everest" / "node_modules").string());
    const auto interpreter = find_in_path("node", environment["PATH"]);
    process.program = interpreter ? interpreter->string() : std::string{};
    process.arguments = {"node", "--unhandled-rejections=strict", script.string()};
    return interpreter.has_value();
}

void report(const Configuration& configuration, const Module& module, Diagnostics& diagnostics,
            const std::string& message, const std::string& hint)
{
    const auto origin = configuration.origins.find(module.id);
    if (origin == configuration.origins.end())
        diagnostics.error({}, message, hint);
    else
        diagnostics.error(origin->second.location, message, hint, origin->second.source);
}

} // namespace

Environment base_environment(const Configuration& configuration, const PlanOptions& options, bool capable)
{
    static const std::array always{"LANG", "TZ", "TERM", "NO_COLOR", "MQTT_SERVER_ADDRESS", "MQTT_SERVER_PORT"};
    static const std::array caller{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "XDG_RUNTIME_DIR"};
    static const std::array steering{"LD_LIBRARY_PATH", "PYTHONPATH", "NODE_PATH", "VIRTUAL_ENV"};
    Environment result;
    const auto pass = [&](const char* name) {
        if (const auto found = options.environment.find(name); found != options.environment.end())
            result.insert(*found);
    };
    for (const auto* name : always)
        pass(name);
    for (const auto& [name, value] : options.environment)
        if (name.starts_with("LC_"))
            result[name] = value;
    const bool privileged = !configuration.settings.run_as_user.empty();
    if (!privileged)
        for (const auto* name : caller)
            pass(name);
    if (!privileged && !capable)
        for (const auto* name : steering)
            pass(name);
    if (privileged || capable || !result.contains("PATH"))
        result["PATH"] = system_path;
    return result;
}

std::vector<std::string> flatten(const Environment& environment)
{
    std::vector<std::string> result;
    for (const auto& [name, value] : environment)
        result.push_back(name + '=' + value);
    return result;
}

bool choose_program(const Configuration& configuration, const Module& module, const PlanOptions& options, bool capable,
                    launcher::ProcessPlan& process, Diagnostics& diagnostics)
{
    const auto directory = configuration.settings.modules_dir / module.name;
    auto environment = base_environment(configuration, options, capable);
    for (const auto& entry : process.environment)
        environment[entry.substr(0, entry.find('='))] = entry.substr(entry.find('=') + 1);
    std::error_code error;
    const std::array candidates{directory / module.name, directory / "index.js", directory / "module.py"};
    std::size_t kind = 0;
    while (kind < candidates.size() && !fs::is_regular_file(candidates[kind], error))
        ++kind;
    if (kind == candidates.size()) {
        report(configuration, module, diagnostics, "module `" + module.id + "` has no executable",
               "looked for " + candidates[0].string() + ", " + candidates[1].string() + " and " +
                   candidates[2].string());
        return false;
    }
    const auto file = fs::canonical(candidates[kind], error);
    bool found = true;
    if (kind == 0) {
        process.program = candidates[kind].string();
        process.arguments = native_arguments(configuration, module, candidates[kind]);
        found = is_program(candidates[kind]);
    } else {
        add_script_environment(configuration, module, environment);
        found = kind == 1 ? use_node(configuration, file, process, environment)
                          : use_python(configuration, file, process, environment);
    }
    if (!found) {
        const auto wanted = kind == 0
                                ? "`" + process.program + "` is not executable"
                                : std::string{kind == 1 ? "node" : "python3"} + " is not in " + environment["PATH"];
        report(configuration, module, diagnostics, "module `" + module.id + "` cannot be started: " + wanted,
               kind == 0 ? "chmod +x" : "install it");
        return false;
    }
    resolve_interpreter(process);
    process.environment = flatten(environment);
    return true;
}

} // namespace belay::config
