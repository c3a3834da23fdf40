// SPDX-License-Identifier: Apache-2.0
#include "config/program.hpp"

#include "config/executable.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace belay::config {

namespace fs = std::filesystem;

namespace {

using Environment = std::map<std::string, std::string>;

constexpr const char* system_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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

/// belay.yaml's, as systemd's PassEnvironment= and Environment=: what is given here goes before what is passed on, and
/// what the manager does not have is not passed on.
void add_own_environment(const ModulePolicy& policy, const PlanOptions& options, Environment& environment)
{
    for (const auto& name : policy.pass_environment)
        if (const auto found = options.environment.find(name); found != options.environment.end())
            environment[name] = found->second;
    for (const auto& [name, value] : policy.environment)
        environment[name] = value;
}

/// Where the installation keeps its libraries: GNU's directory variables know three places.
std::string library_directory(const Configuration& configuration, const char* name)
{
    const auto& prefix = configuration.settings.prefix;
    std::error_code error;
    for (const auto* libraries : {"lib", "lib64", BELAY_INSTALL_LIBDIR})
        if (const auto path = prefix / libraries / "everest" / name; fs::is_directory(path, error))
            return path.string();
    return (prefix / "lib" / "everest" / name).string();
}

bool use_python(const Configuration& configuration, const fs::path& script, launcher::ProcessPlan& process,
                Environment& environment)
{
    auto& path = environment["PYTHONPATH"];
    const auto library = library_directory(configuration, "everestpy");
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

bool use_node(const Configuration& configuration, const fs::path& script, bool guarded, launcher::ProcessPlan& process,
              Environment& environment)
{
    environment.try_emplace("NODE_PATH", library_directory(configuration, "node_modules"));
    // An optional dependency that is not installed is also looked for in $HOME/.node_modules, which any module may
    // write: it has no say in another one. Whoever wants the home directory finds it in the password database.
    if (guarded)
        environment.erase("HOME");
    const auto interpreter = find_in_path("node", environment["PATH"]);
    process.program = interpreter ? interpreter->string() : std::string{};
    process.arguments = {"node", "--unhandled-rejections=strict", script.string()};
    return interpreter.has_value();
}

} // namespace

Environment base_environment(const PlanOptions& options, bool guarded)
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
    if (!guarded) {
        for (const auto* name : caller)
            pass(name);
        for (const auto* name : steering)
            pass(name);
    }
    if (guarded || !result.contains("PATH"))
        result["PATH"] = system_path;
    if (guarded)
        result["PYTHONNOUSERSITE"] = "1"; // ~/.local may be written by any module: it has no say in another one
    return result;
}

std::vector<std::string> flatten(const Environment& environment)
{
    std::vector<std::string> result;
    for (const auto& [name, value] : environment)
        result.push_back(name + '=' + value);
    return result;
}

tl::expected<void, NoProgram> choose_program(const Configuration& configuration, const Module& module,
                                             const PlanOptions& options, bool guarded, launcher::ProcessPlan& process)
{
    const auto directory = configuration.settings.modules_dir / module.name;
    auto environment = base_environment(options, guarded);
    for (const auto& entry : process.environment)
        environment[entry.substr(0, entry.find('='))] = entry.substr(entry.find('=') + 1);
    add_own_environment(module.policy, options, environment);
    const auto exists = [](const fs::path& path) {
        std::error_code error;
        return fs::is_regular_file(path, error);
    };
    const auto native = directory / module.name;
    const auto node = directory / "index.js";
    const auto python = directory / "module.py";
    if (module.name == "ProbeModule")
        return tl::unexpected(NoProgram{"a ProbeModule has no program of its own", "set `standalone: true`"});
    if (exists(native)) {
        if (!is_program(native))
            return tl::unexpected(NoProgram{"`" + native.string() + "` is not executable", "chmod +x"});
        process.program = native.string();
        process.arguments = native_arguments(configuration, module, native);
    } else if (exists(node) || exists(python)) {
        add_script_environment(configuration, module, environment);
        std::error_code error;
        const bool found = exists(node)
                               ? use_node(configuration, fs::canonical(node, error), guarded, process, environment)
                               : use_python(configuration, fs::canonical(python, error), process, environment);
        if (!found)
            return tl::unexpected(NoProgram{
                std::string{exists(node) ? "node" : "python3"} + " is not in " + environment["PATH"], "install it"});
    } else {
        return tl::unexpected(NoProgram{
            "it has no executable", "looked for " + module.name + ", index.js and module.py in " + directory.string()});
    }
    process.environment = flatten(environment);
    if (const auto resolved = resolve_interpreter(process); !resolved)
        return tl::unexpected(NoProgram{resolved.error(), "repair it"});
    return {};
}

} // namespace belay::config
