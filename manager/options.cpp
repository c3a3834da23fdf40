// SPDX-License-Identifier: Apache-2.0
#include "manager/options.hpp"

#include "config/nearest.hpp"
#include "manager/handover.hpp"
#include "manager/standard_output.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <span>
#include <string_view>

#include <unistd.h>

namespace belay::manager {

namespace {

constexpr const char* description = "Starts the modules of an EVerest charger: each as an unprivileged user, with\n"
                                    "exactly the capabilities declared for it, configured over MQTT, supervised\n"
                                    "until the end.";

constexpr const char* examples = R"(  manager --config /etc/everest/charger.yaml
      start a charger (what a unit does)
  manager --prefix /opt/everest --config sil
      the same, from /opt/everest/etc/everest/sil.yaml
  manager --check --config charger.yaml
      validate, touch nothing; exit code 0 if valid
  manager --check-start --config charger.yaml
      and if it would start here, with these files, users and capabilities
  manager --check --dump out --config charger.yaml
      and write what modules will be told
  manager --config charger.yaml --standalone evse
      wait for `evse`, which is started by hand
  manager --config charger.yaml --db charger.db
      keep what modules set at run time in a database
)";

constexpr const char* notes = R"(Without --config and --db it starts PREFIX/etc/everest/default.yaml. Signals:
SIGINT and SIGTERM stop all modules in order, a second one kills them (the exit
code is 1 then, as of EVerest's); SIGHUP reloads the configuration if it is
valid. Exit codes: 0 stopped on request, or valid; 1 anything else, explained on
standard error; started by systemd, 78 if the configuration or the command line
must be changed first. Environment: MQTT_SERVER_ADDRESS and
MQTT_SERVER_PORT override the broker; NO_COLOR.)";

tl::unexpected<std::string> refusal(std::string sentence)
{
    return tl::unexpected<std::string>{std::move(sentence)};
}

/// systemd.exec(5): of the unit, only for what ExecReload= and the like start.
pid_t main_process_of_unit(const std::map<std::string, std::string>& environment)
{
    pid_t result = 0;
    if (const auto found = environment.find("MAINPID"); found != environment.end())
        std::from_chars(found->second.data(), found->second.data() + found->second.size(), result);
    return result;
}

std::map<std::string, std::string> environment_of_this_process()
{
    std::map<std::string, std::string> result;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        const auto equals = text.find('=');
        if (equals != std::string::npos)
            result[text.substr(0, equals)] = text.substr(equals + 1);
    }
    return result;
}

/// The directory above that of this program; empty if it cannot be told.
std::string prefix_of_this_program()
{
    const auto self = this_program();
    return self ? std::filesystem::path{*self}.parent_path().parent_path().string() : std::string{};
}

struct Raw
{
    std::string deprecated_config;
    std::vector<std::string> standalone, ignore, stray;
    bool validation_off = false;
    bool database_init = false;
    std::string mqtt_prefix;
};

void add_everest_options(CLI::App& app, Options& options, Raw& raw)
{
    app.add_option("--prefix", options.load.prefix, "EVerest's directory, if not that of the build")->type_name("DIR");
    app.add_option("--config", options.load.config, "A file, or a name in PREFIX/etc/everest")->type_name("CONFIG");
    app.add_option("--conf", raw.deprecated_config, "Deprecated: same as --config")->type_name("CONFIG");
    app.add_option("--db", options.database, "Configuration database; once filled, it wins")->type_name("FILE");
    app.add_flag("--db-init", raw.database_init, "Deprecated: has no effect");
    app.add_flag("--reset-from-yaml", options.reset_from_yaml, "Fill the database from --config again");
    app.add_flag("--into-idle", options.into_idle, "Start no module; answer configuration requests");
    app.add_flag("--idle-on-failure", options.idle_on_failure, "Become idle if there is nothing more to start");
    app.add_flag("--recover-module-crashes", options.recover_module_crashes,
                 "Start all again after a crash, at most 3 times");
    app.add_flag("--check", options.check, "Validate the configuration and exit");
    app.add_option("--dump", options.dump, "Write resolved configuration and manifests")->type_name("DIR");
    app.add_option("--dumpmanifests", options.dump_manifests, "Write every installed manifest and exit")
        ->type_name("DIR");
    app.add_option("-s,--standalone", raw.standalone, "Modules that are started by hand, and waited for")
        ->type_name("ID");
    app.add_option("--ignore", raw.ignore, "Modules that are neither started nor waited for")->type_name("ID");
    app.add_flag("--graceful-shutdown", options.graceful_shutdown, "Ask modules over MQTT to stop before SIGTERM");
    app.add_option("--status-fifo", options.status_fifo, "Write status lines to this named pipe")->type_name("FIFO");
    app.add_flag("--retain-topics", options.retain_topics, "Leave the retained start-up topics at the broker");
    app.add_option("--mqtt_everest_prefix", raw.mqtt_prefix, "MQTT topic prefix instead of the configured one")
        ->type_name("TOPIC");
    app.add_flag("--dontvalidateschema", raw.validation_off, "Accepted for EVerest's sake; has no effect");
    app.add_option("stray", raw.stray)->group(""); // not shown in --help: they have no effect
}

void add_own_options(CLI::App& app, Options& options)
{
    app.add_flag("--check-start", options.check_start, "As --check, and 1 if a start here would fail");
    app.add_option("--trust-files-of", options.trust_files_of, "Files of USER count as root's: not on a charger")
        ->type_name("USER");
    app.add_option("--timeline", options.timeline, "Write when each module was forked ... ready")->type_name("FILE");
    app.add_flag("--last-reset", options.last_reset, "Say why the machine was reset, and exit");
    app.add_flag("--reloaded", options.reloaded)->group(""); // the launcher's
    app.add_flag("--judge", options.judge)->group("");       // the launcher's
}

/// As with EVerest's, `--check=0` is a mistake, and not a way to say no.
void refuse_values_of_flags(CLI::App& app)
{
    for (auto* option : app.get_options())
        if (option->get_expected_max() == 0)
            option->disable_flag_override()->multi_option_policy(CLI::MultiOptionPolicy::Throw);
}

void add_options(CLI::App& app, Options& options, Raw& raw, const std::string& program)
{
    app.set_version_flag("--version", program + " (belay " BELAY_VERSION ")", "Print the version and exit");
    add_everest_options(app, options, raw);
    add_own_options(app, options);
    refuse_values_of_flags(app);
}

/// The first flag that was given a value.
std::string explain_value(const CLI::App& app, int argc, char** argv)
{
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        const auto name = argument.substr(0, argument.find('='));
        const auto* option = name == argument ? nullptr : app.get_option_no_throw(name);
        if (option != nullptr && option->get_expected_max() == 0)
            return '`' + name + "` takes no value; leave it out where it is not wanted";
    }
    return {};
}

/// The first option that `app` does not have, and the one that was probably meant.
std::string explain_unknown(const CLI::App& app, int argc, char** argv)
{
    std::vector<std::string> names;
    for (const auto* option : app.get_options())
        for (const auto& name : option->get_lnames())
            names.push_back("--" + name);
    for (int i = 1; i < argc; ++i) {
        const std::string argument = argv[i];
        const auto name = argument.substr(0, argument.find('='));
        const bool is_short = name.size() > 1 && name[0] == '-' && name[1] != '-';
        if (is_short && app.get_option_no_throw(name.substr(0, 2)) == nullptr)
            return "unknown option `" + name + '`';
        if (name.size() > 2 && name.starts_with("--") && std::ranges::count(names, name) == 0) {
            const auto best = config::nearest(name, names);
            return "unknown option `" + name + '`' + (best.empty() ? "" : "; did you mean `" + best + "`?");
        }
    }
    return {};
}

/// A file is most likely the configuration.
std::string hint_for(const std::string& stray)
{
    std::error_code error;
    return std::filesystem::is_regular_file(stray, error) ? "; did you mean `--config " + stray + "`?" : "";
}

/// What has no effect, and might have been meant to have one.
void warn(const Raw& raw, const Options& options)
{
    if (!raw.deprecated_config.empty())
        std::fputs("manager: --conf is deprecated; use --config\n", stderr);
    if (raw.database_init)
        std::fputs("manager: --db-init is deprecated and has no effect: a database without a configuration is filled "
                   "from --config anyway; --reset-from-yaml fills it again\n",
                   stderr);
    if (options.reset_from_yaml && options.database.empty())
        std::fputs("manager: --reset-from-yaml has no effect without --db\n", stderr);
    for (const auto& argument : raw.stray)
        std::fprintf(stderr, "manager: ignored the argument `%s`, which belongs to no option%s\n", argument.c_str(),
                     hint_for(argument).c_str());
}

tl::expected<Options, std::string> combine(Options options, Raw raw)
{
    if (!raw.deprecated_config.empty() && !options.load.config.empty())
        return refusal("--conf is the old name of --config: give only one of them");
    warn(raw, options);
    if (!raw.deprecated_config.empty())
        options.load.config = std::move(raw.deprecated_config);
    if (options.check && options.load.config.empty())
        return refusal("--check needs --config FILE");
    if (options.reset_from_yaml && options.load.config.empty())
        return refusal("--reset-from-yaml needs --config FILE: there is nothing else to fill the database from");
    if (!raw.mqtt_prefix.empty())
        options.load.everest_prefix = std::move(raw.mqtt_prefix);
    options.load.standalone = {raw.standalone.begin(), raw.standalone.end()};
    options.load.ignore = {raw.ignore.begin(), raw.ignore.end()};
    options.load.environment = environment_of_this_process();
    options.load.program_prefix = prefix_of_this_program();
    options.load.recover_module_crashes = options.recover_module_crashes;
    if (options.check_start)
        options.reload_of = main_process_of_unit(options.load.environment);
    options.load.reloaded = options.reloaded || options.reload_of != 0;
    return options;
}

} // namespace

tl::expected<Options, std::string> parse_options(int argc, char** argv)
{
    Options options;
    Raw raw;
    CLI::App app{description, "manager"};
    app.footer(std::string{"Examples:\n"} + examples + '\n' + notes);
    app.get_formatter()->column_width(32);
    add_options(app, options, raw, argc > 0 ? argv[0] : "manager");
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& success) {
        const int code = app.exit(success);
        if (const auto written = flush_output(); !written)
            return refusal(written.error());
        std::exit(code);
    } catch (const CLI::ExtrasError& error) {
        const auto unknown = explain_unknown(app, argc, argv);
        return refusal((unknown.empty() ? error.what() : unknown) + "; see --help");
    } catch (const CLI::ParseError& error) {
        const auto value = explain_value(app, argc, argv);
        return refusal((value.empty() ? error.what() : value) + "; see --help");
    }
    std::ranges::copy_if(std::span{argv, static_cast<std::size_t>(argc)}, std::back_inserter(options.arguments),
                         [](std::string_view argument) { return argument != "--reloaded" && argument != "--judge"; });
    return combine(std::move(options), std::move(raw));
}

CommandHelp command_help()
{
    Options options;
    Raw raw;
    CLI::App app{description, "manager"};
    add_options(app, options, raw, "manager");
    CommandHelp result{description, {}, examples, notes};
    for (const auto* option : app.get_options()) {
        if (option->get_group().empty())
            continue;
        const bool is_flag = option->get_expected_max() == 0;
        OptionHelp help{{}, is_flag ? "" : option->get_type_name(), option->get_description()};
        for (const auto& name : option->get_snames())
            help.names.push_back('-' + name);
        for (const auto& name : option->get_lnames())
            help.names.push_back("--" + name);
        result.options.push_back(std::move(help));
    }
    return result;
}

} // namespace belay::manager
