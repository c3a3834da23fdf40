// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/landlock.hpp"
#include "tests/config/prefix.hpp"
#include "tests/fuzz/require.hpp"

#include <map>

/// Loading an installation of which some files came from the fuzzer, and what holds of it whatever they say.
class Installation
{
public:
    static constexpr const char* main_file = "etc/everest/c.yaml";
    static constexpr const char* overlay = "etc/everest/user-config/c.yaml";
    static constexpr const char* belay_yaml = "etc/everest/belay.yaml";

    static constexpr const char* any_schema = "# anything\n";

    /// The schemas ask for nothing: what they would keep away reaches the code behind them, and it is faster.
    Installation()
    {
        for (const auto& [name, text] : schema_files)
            prefix_.write("share/everest/schemas/" + std::string{name} + ".yaml", any_schema);
    }

    /// Lets the files be what `texts` (by path) says; those that it does not speak of are as they were before `put`.
    void put(const std::map<std::string, std::string>& texts)
    {
        for (const auto& [path, text] : standard_)
            set(path, texts.contains(path) ? texts.at(path) : text);
    }

    /// `text` stands at `path` unless put() is told otherwise; empty: no file.
    void standard(const std::string& path, const std::string& text)
    {
        standard_[path] = text;
        set(path, text);
    }

    /// What the child that reads the database says; none: there is no database.
    std::optional<nlohmann::json> database;

    /// A value or a reason, never both and never neither, and what is said of it is fit for a terminal.
    tl::expected<belay::config::Configuration, belay::config::Invalid> load()
    {
        belay::config::LoadOptions options;
        options.config = (prefix_.path / main_file).string();
        if (database) {
            options.database = "everest.db";
            options.read_database = [this](const auto& /*so_far*/) { return belay::config::StoredModules{*database}; };
        }
        auto result = prefix_.load_as(options);
        check(result.has_value());
        return result;
    }

    /// Likewise; and a plan is one that the launcher takes.
    std::optional<belay::launcher::LaunchPlan> plan(const belay::config::Configuration& configuration, bool root)
    {
        belay::config::PlanOptions options;
        options.root = root;
        options.held = ~belay::launcher::CapabilityMask{0};
        options.landlock_abi = belay::launcher::landlock_scopes_abi;
        prefix_.diagnostics = {};
        auto plan = make_plan(configuration, options, prefix_.diagnostics);
        check(plan.has_value());
        if (plan) {
            const auto bytes = encode(*plan);
            const auto decoded = belay::launcher::decode(std::as_bytes(std::span{bytes}));
            if (!decoded)
                std::fprintf(stderr, "%s\n", decoded.error().c_str());
            require(decoded.has_value(), "what the manager plans, the launcher takes");
        }
        return plan;
    }

    [[nodiscard]] std::string path_of(const char* file) const { return (prefix_.path / file).string(); }
    [[nodiscard]] const belay::config::Diagnostics& diagnostics() const { return prefix_.diagnostics; }

private:
    void set(const std::string& path, const std::string& text)
    {
        auto& present = present_[path];
        if (present == text)
            return;
        present = text;
        if (text.empty())
            std::filesystem::remove(prefix_.path / path);
        else
            prefix_.write(path, text);
    }

    void check(bool succeeded) const
    {
        if (succeeded == prefix_.diagnostics.has_errors())
            std::fprintf(stderr, "%s\n", prefix_.text().c_str());
        require(succeeded != prefix_.diagnostics.has_errors(), "there is a value, or an error that says why not");
        for (const auto& one : prefix_.diagnostics.all()) {
            require(!one.message.empty(), "each diagnostic says something");
            for (const char c : render(one, false))
                require(c == '\n' || (c != '\x7f' && static_cast<unsigned char>(c) >= ' '),
                        "nothing of a file steers the terminal");
        }
    }

    Prefix prefix_;
    std::map<std::string, std::string> standard_;
    std::map<std::string, std::string> present_; ///< those of `standard_` that are not what Prefix wrote
};
