// SPDX-License-Identifier: Apache-2.0
#include "manager/check.hpp"

#include "launcher/capability_sets.hpp"
#include "launcher/descriptor.hpp"
#include "launcher/errno_text.hpp"
#include "launcher/landlock.hpp"
#include "launcher/write_all.hpp"
#include "manager/judgement.hpp"
#include "manager/log.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace belay::manager {

namespace fs = std::filesystem;

namespace {

using Result = tl::expected<void, std::string>;

tl::unexpected<std::string> refusal(const fs::path& path, const std::string& why)
{
    return tl::unexpected("could not write " + path.string() + ": " + why);
}

Result write(const fs::path& path, const nlohmann::json& value)
{
    constexpr int indent = 4;
    constexpr mode_t mode = 0644;
    const auto text = value.dump(indent) + '\n';
    const FileDescriptor file{
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, mode)};
    if (!file)
        return refusal(path, errno_text(errno));
    const int error = write_all(file.get(), text);
    return error == 0 ? Result{} : refusal(path, errno_text(error));
}

Result create(const fs::path& directory)
{
    std::error_code error;
    fs::create_directories(directory, error);
    return error ? refusal(directory, error.message()) : Result{};
}

void enter(spdlog::logger& journal, const config::Diagnostic& diagnostic)
{
    const bool is_error = diagnostic.severity == config::Severity::error;
    auto what = about(is_error ? JournalMessage::configuration_error : JournalMessage::configuration_doubt);
    if (const auto& place = diagnostic.location; place.line > 0)
        what.more = {{"EVEREST_CONFIG_FILE", place.file}, {"EVEREST_CONFIG_LINE", std::to_string(place.line)}};
    log_entry(journal, is_error ? spdlog::level::err : spdlog::level::warn, what, config::render(diagnostic, false));
}

void say(spdlog::level::level_enum level, const About& about, const std::string& sentence, const char* label)
{
    const auto style = detect_log_style();
    if (style == LogStyle::journal)
        log_entry(*make_log(style), level, about, sentence);
    else
        std::fprintf(stderr, "manager: %s%s\n", label, sentence.c_str());
}

} // namespace

int complain(const std::string& why, JournalMessage message)
{
    say(spdlog::level::err, about(message), why, "");
    return 1;
}

void warn(const std::string& sentence)
{
    say(spdlog::level::warn, {}, sentence, "warning: ");
}

void print(const config::Diagnostics& diagnostics)
{
    const auto style = detect_log_style();
    const auto journal = style == LogStyle::journal ? make_log(style) : nullptr;
    std::error_code error;
    const auto here = fs::current_path(error).string() + '/';
    for (auto diagnostic : diagnostics.all()) {
        if (!error && diagnostic.location.file.starts_with(here))
            diagnostic.location.file.erase(0, here.size());
        if (journal)
            enter(*journal, diagnostic);
        else
            std::fprintf(stderr, "%s\n", config::render(diagnostic, style == LogStyle::coloured).c_str());
    }
    if (diagnostics.all().size() >= config::Diagnostics::most)
        std::fputs("there are more problems, which are not shown\n", stderr);
}

std::string summary(const config::Diagnostics& diagnostics)
{
    const auto errors = diagnostics.count(config::Severity::error);
    const auto warnings = diagnostics.count(config::Severity::warning);
    if (errors == 0)
        return counted(warnings, "warning");
    return counted(errors, "error") + (warnings == 0 ? "" : ", " + counted(warnings, "warning"));
}

std::string first_error(const config::Diagnostics& diagnostics)
{
    const auto is_error = [](const config::Diagnostic& one) { return one.severity == config::Severity::error; };
    const auto found = std::find_if(diagnostics.all().begin(), diagnostics.all().end(), is_error);
    if (found == diagnostics.all().end())
        return {};
    const auto& place = found->location;
    const auto line = place.line == 0 ? "" : ':' + std::to_string(place.line);
    const auto file = fs::path{place.file}.filename().string() + line;
    return (place.file.empty() ? "" : file + ": ") + found->message;
}

Result dump(const config::Configuration& configuration, const std::string& directory)
{
    auto result = create(directory);
    auto modules = nlohmann::json::object();
    for (const auto& [id, module] : configuration.modules)
        modules[id] = module.config;
    if (result)
        result = write(fs::path{directory} / "config.json", modules);
    for (auto manifest = configuration.manifests.begin(); result && manifest != configuration.manifests.end();
         ++manifest)
        result = write(fs::path{directory} / (manifest.key() + ".json"), *manifest);
    return result;
}

int dump_manifests(const Options& options)
{
    config::Diagnostics diagnostics;
    const auto manifests = config::load_all_manifests(options.load, diagnostics);
    print(diagnostics);
    if (!manifests)
        return 1;
    auto result = create(options.dump_manifests);
    for (auto manifest = manifests->begin(); result && manifest != manifests->end(); ++manifest)
        result = write(fs::path{options.dump_manifests} / (manifest.key() + ".yaml"), *manifest);
    return result ? 0 : complain(result.error());
}

namespace {

int conclude(const config::Configuration& configuration, const std::string& verdict,
             const config::Diagnostics& diagnostics, int code)
{
    const auto& file = configuration.settings.config_file;
    const auto named = [](const fs::path& path) { return path.empty() ? std::string{"none"} : path.string(); };
    std::fprintf(stderr, "%s: belay.yaml: %s, overlay: %s\n", file.filename().c_str(),
                 named(configuration.belay_yaml).c_str(), named(configuration.overlay).c_str());
    std::fprintf(stderr, "%s: %s: %s, %s\n", file.filename().c_str(), verdict.c_str(),
                 counted(configuration.modules.size(), "module").c_str(), summary(diagnostics).c_str());
    return code;
}

/// What keeps a start from succeeding here, and what it would warn of.
struct Outlook
{
    config::Diagnostics reasons, doubts;
};

Outlook outlook(const Judgement& judgement)
{
    Outlook result;
    for (const auto& diagnostic : judgement.found.all())
        (diagnostic.severity == config::Severity::error ? result.reasons : result.doubts).add(diagnostic);
    for (const auto& reason : judgement.reasons)
        result.reasons.error({}, reason);
    return result;
}

std::string verdict(const config::Diagnostics& reasons)
{
    const auto count = reasons.count(config::Severity::error);
    return count == 0 ? "valid" : "valid, but would not start here: " + counted(count, "reason");
}

} // namespace

int check(const config::Configuration& configuration, const Options& options, config::Diagnostics diagnostics)
{
    const auto starter = root_that_starts(options);
    const auto judged = starter ? judge(configuration, options, *starter) : tl::unexpected(starter.error());
    if (!judged)
        return complain(judged.error());
    const auto found = outlook(*judged);
    diagnostics.append(judged->plan ? found.doubts : judged->elsewhere);
    diagnostics.sort(configuration.settings.config_file.string());
    print(diagnostics);
    if (!judged->plan)
        return conclude(configuration, "invalid", diagnostics, 1);
    config::Diagnostics reasons;
    reasons.append_as_warnings(found.reasons);
    print(reasons);
    diagnostics.append(reasons);
    if (!options.dump.empty())
        if (const auto dumped = dump(configuration, options.dump); !dumped)
            return complain(dumped.error());
    return conclude(configuration, verdict(found.reasons), diagnostics, 0);
}

int check_start(const config::Configuration& configuration, const Options& options, config::Diagnostics diagnostics)
{
    const auto starter = this_starter(options);
    const auto judged = starter ? judge(configuration, options, *starter) : tl::unexpected(starter.error());
    if (!judged)
        return complain(judged.error());
    const auto found = outlook(*judged);
    diagnostics.append(found.doubts);
    diagnostics.sort(configuration.settings.config_file.string());
    diagnostics.append(found.reasons);
    print(diagnostics);
    return conclude(configuration, verdict(found.reasons), diagnostics, judged->refusal ? 1 : 0);
}

} // namespace belay::manager
