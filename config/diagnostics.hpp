// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

/// What is wrong with the configuration, as a person reads it:
///
///     config.yaml:41:7: error: module `slac` asks for the capability `CAP_NET_RAV`, which does not exist
///        41 |       - CAP_NET_RAV
///           |         ^~~~~~~~~~~ did you mean `CAP_NET_RAW`?
namespace belay::config {

enum class Severity
{
    warning,
    error
};

/// A place in a file. Line and column start at 1; 0 means the file as a whole.
struct Location
{
    std::string file;
    int line = 0;
    int column = 0;
    int length = 0; ///< characters to underline
};

struct Diagnostic
{
    Severity severity = Severity::error;
    Location location;
    std::string message;
    std::string hint;   ///< what to do, or the nearest valid name; may be empty
    std::string source; ///< the line of the file, if there is one
};

class Diagnostics
{
public:
    void error(Location location, std::string message, std::string hint = {}, std::string source = {});
    void warning(Location location, std::string message, std::string hint = {}, std::string source = {});

    [[nodiscard]] bool has_errors() const;
    [[nodiscard]] const std::vector<Diagnostic>& all() const { return diagnostics_; }

private:
    std::vector<Diagnostic> diagnostics_;
};

/// `color`: ANSI sequences, for a terminal. Control characters of the source are shown as `?`.
std::string render(const Diagnostic& diagnostic, bool color);

} // namespace belay::config
