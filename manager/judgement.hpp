// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/configuration.hpp"
#include "launcher/capability_sets.hpp"
#include "manager/options.hpp"

#include <tl/expected.hpp>

#include <optional>
#include <string>
#include <vector>

/// What a start would do, and what keeps it from happening: the same for a start, a reload, `--check-start` and
/// `--check`.
namespace belay::manager {

/// Why there is no charger.
struct Refusal
{
    std::string why;
    bool until_changed = false; ///< trying again is of no use: somebody must change a file first
    std::string first_error;    ///< that was printed before, for who sees one line; may be empty

    Refusal(std::string sentence) : why(std::move(sentence)) {} // NOLINT(google-explicit-constructor)
    Refusal(std::string sentence, bool permanent, std::string first = {})
        : why(std::move(sentence)), until_changed(permanent), first_error(std::move(first))
    {}
};

/// Whose start is judged.
struct Starter
{
    bool root = false;
    launcher::CapabilityMask held = 0; ///< its permitted set
    launcher::CapabilityMask unit = 0; ///< likewise, before a launcher gave up what it did not need
    bool launcher = false;             ///< it runs already, and would reload
};

/// This process. The error is a sentence.
tl::expected<Starter, std::string> this_starter(const Options& options);

/// As root on a charger would be, whoever checks.
tl::expected<Starter, std::string> root_that_starts(const Options& options);

struct Judgement
{
    std::optional<launcher::LaunchPlan> plan; ///< none: the configuration is refused, and not for what is missing here
    config::Diagnostics found;                ///< what is refused is an error
    config::Diagnostics elsewhere;            ///< likewise on a machine that has everything, if there are errors here
    std::vector<std::string> reasons;         ///< what else stands in the way: whole sentences
    std::string launcher;                     ///< its path
    std::optional<Refusal> refusal;           ///< the start is refused; for an error that is found, in summary
};

/// Where nothing is to be started, also what would only show when the launcher is at work. The error is a sentence,
/// about the command line.
tl::expected<Judgement, std::string> judge(const config::Configuration& configuration, const Options& options,
                                           const Starter& starter);

} // namespace belay::manager
