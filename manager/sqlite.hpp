// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <tl/expected.hpp>

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

struct sqlite3;
struct sqlite3_stmt;

/// SQLite with owners. Errors are sentences that say what SQLite said, and what to do about it: without the file's
/// name, which is the caller's to add.
namespace belay::manager {

class Sqlite
{
public:
    template <typename Value>
    using Result = tl::expected<Value, std::string>;

    /// null, a number, or a text that lives until run() returns.
    using Value = std::variant<std::monostate, int, std::string_view>;

    class Row
    {
    public:
        [[nodiscard]] int integer(int column) const;
        [[nodiscard]] std::string text(int column) const; ///< may have bytes that are not UTF-8
        [[nodiscard]] std::optional<std::string> nullable_text(int column) const;
        [[nodiscard]] bool is_null(int column) const;
        [[nodiscard]] std::size_t size() const; ///< bytes of all columns as texts

    private:
        friend class Sqlite;
        explicit Row(sqlite3_stmt* statement) : statement_(statement) {}
        sqlite3_stmt* statement_;
    };
    using RowHandler = std::function<void(const Row&)>;

    enum class Access
    {
        read_only,
        /// Nothing writes it while it is open: for a file in a directory where SQLite may not keep its notes.
        immutable,
        read_write,
        create, ///< if it is not there
    };

    /// A file that cannot be opened may show only in the first run().
    static Result<Sqlite> open(const std::string& path, Access access);

    /// One statement; `handler` is called for each row.
    Result<void> run(std::string_view sql, std::initializer_list<Value> values = {}, const RowHandler& handler = {});

    /// Any number of statements.
    Result<void> run_script(const std::string& sql);

    /// The first number of the first row; 0 if there is none.
    Result<int> number(std::string_view sql, std::initializer_list<Value> values = {});

    /// Whether the file that is open is no longer the one of that name.
    [[nodiscard]] bool moved() const;

private:
    struct Close
    {
        void operator()(sqlite3* handle) const;
    };
    explicit Sqlite(sqlite3* handle) : handle_(handle) {}

    [[nodiscard]] tl::unexpected<std::string> failure() const;

    std::unique_ptr<sqlite3, Close> handle_;
};

/// All that `action` does, or nothing if it or the end of the transaction fails. Takes the write lock at once; what
/// succeeded survives a power cut.
Sqlite::Result<void> in_transaction(Sqlite& database, const std::function<Sqlite::Result<void>()>& action);

} // namespace belay::manager
