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
    /// Of a hostile file's millions of problems the first `most` are kept, and an error if there was one.
    void add(Diagnostic diagnostic);
    void append(const Diagnostics& others);
    void append_as_warnings(const Diagnostics& others);

    /// What belongs to no file first, then `first_file`, then the other files by name; each by line and column. What is
    /// said twice of one place is kept once.
    void sort(const std::string& first_file);

    [[nodiscard]] bool has_errors() const { return count(Severity::error) > 0; }
    [[nodiscard]] std::size_t count(Severity severity) const;
    [[nodiscard]] const std::vector<Diagnostic>& all() const { return diagnostics_; }

    static constexpr std::size_t most = 1000;

private:
    std::vector<Diagnostic> diagnostics_;
};

/// At most 80 columns but for the first line: of a longer source line the part around the column is shown. `color`:
/// ANSI sequences, for a terminal. Control characters of the source are shown as `?`.
std::string render(const Diagnostic& diagnostic, bool color);

} // namespace belay::config
