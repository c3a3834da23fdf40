// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/diagnostics.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace belay::config {

/// The text a node came from, kept so that a diagnostic can show the line.
class SourceFile
{
public:
    SourceFile(std::string file_name, std::string content);

    /// Line `number`, counted from 1, without its end; empty if there is none. Of an endless line the beginning.
    [[nodiscard]] std::string line(int number) const;
    /// The column, in bytes and counted from 1, after so many characters of line `number`.
    [[nodiscard]] int column(int number, std::size_t characters) const;

    const std::string name;
    const std::string text;

private:
    std::vector<std::size_t> starts_; ///< where each line begins
    bool ascii_;
};

/// Where something stands in a file.
struct Place
{
    std::shared_ptr<const SourceFile> file; ///< null: nowhere
    int line = 0;                           ///< counted from 1, as `column`, which counts bytes
    int column = 0;
    int length = 0;
};

struct Member;

/// A YAML value that knows where it stands. How many bits an integer may have is the reader's to say.
struct Node : Place
{
    enum class Kind
    {
        null,
        boolean,
        integer,
        number,
        string,
        sequence,
        mapping
    };

    Kind kind = Kind::null;
    bool boolean = false;
    std::int64_t integer = 0;
    double number = 0;
    std::string text;
    std::vector<Node> items;
    std::vector<Member> members;

    [[nodiscard]] bool is(Kind wanted) const { return kind == wanted; }
    /// The value of `key`; null if this is no mapping or has no such key.
    [[nodiscard]] const Node* find(std::string_view key) const;
    [[nodiscard]] Node* find(std::string_view key);
    [[nodiscard]] const Member* find_member(std::string_view key) const;
    /// The text of the string at `key`, or `fallback` if there is none.
    [[nodiscard]] std::string string_at(std::string_view key, std::string fallback = {}) const;
    [[nodiscard]] bool boolean_at(std::string_view key) const;
    [[nodiscard]] std::vector<std::string> keys() const;
};

struct Member
{
    std::string key;
    Place key_place;
    Node value;
};

Location location_of(const Place& place);
nlohmann::json to_json(const Node& node);
nlohmann::json to_json(Node&& node);

/// A node for `value` that stands where `place` does.
Node from_json(const nlohmann::json& value, const Place& place);

void report_error(Diagnostics& diagnostics, const Place& place, std::string message, std::string hint = {});
void report_warning(Diagnostics& diagnostics, const Place& place, std::string message, std::string hint = {});

/// "a string", "a mapping", … for messages.
std::string_view describe(Node::Kind kind);

} // namespace belay::config
