// SPDX-License-Identifier: Apache-2.0
#include "manager/sqlite.hpp"

#include "config/files.hpp"

#include <sqlite3.h>

#include <chrono>
#include <cstring>
#include <utility>

namespace belay::manager {

namespace {

constexpr int longest_work_ms = 2000; // for what takes some milliseconds
constexpr int longest_wait_ms = 5000; // for somebody else's lock; EVerest's manager waits as long

std::string remedy(int code)
{
    switch (code & 0xff) { // the rest is detail
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return "; another process has it locked: end that one (fuser -v FILE)";
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return "; the file and its directory must be there, and writable for the user of the manager";
    case SQLITE_READONLY:
        return "; the file and its directory must be writable for the user of the manager";
    case SQLITE_NOTADB:
        return "; move it away, and a new one is made from --config";
    case SQLITE_CORRUPT:
        return "; it is damaged: restore it, or move it away, and a new one is made from --config";
    case SQLITE_INTERRUPT:
        return "; it took longer than a configuration can: move it away, and a new one is made from --config";
    case SQLITE_TOOBIG:
        return "; what is longer than 16 MB is no configuration: move it away, and a new one is made from --config";
    case SQLITE_FULL:
        return "; free some space, nothing was changed";
    default:
        return {};
    }
}

std::string sentence(const char* text, int code)
{
    return std::string{text} + " (SQLite error " + std::to_string(code) + ')' + remedy(code);
}

/// A file name as the path of a URI; https://www.sqlite.org/uri.html
std::string immutable_uri(const std::string& path)
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string result = "file:";
    for (const char c : path) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '%' || c == '?' || c == '#')
            result += {'%', digits[byte >> 4U], digits[byte & 0xfU]};
        else
            result += c;
    }
    return result + "?immutable=1";
}

int flags_of(Sqlite::Access access)
{
    constexpr int common = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    switch (access) {
    case Sqlite::Access::read_only:
        return common | SQLITE_OPEN_READONLY;
    case Sqlite::Access::immutable:
        return common | SQLITE_OPEN_READONLY | SQLITE_OPEN_URI;
    case Sqlite::Access::read_write:
        return common | SQLITE_OPEN_READWRITE;
    case Sqlite::Access::create:
        break;
    }
    return common | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
}

struct Finalize
{
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

/// Interrupts what takes forever, because the schema says so or there is too much of it.
class TimeLimit
{
public:
    explicit TimeLimit(sqlite3* handle) : handle_(handle)
    {
        constexpr int instructions = 10'000;
        sqlite3_progress_handler(
            handle, instructions, [](void* self) { return static_cast<TimeLimit*>(self)->exceeded() ? 1 : 0; }, this);
    }
    TimeLimit(const TimeLimit&) = delete;
    TimeLimit& operator=(const TimeLimit&) = delete;
    ~TimeLimit() { sqlite3_progress_handler(handle_, 0, nullptr, nullptr); }

private:
    [[nodiscard]] bool exceeded() const { return std::chrono::steady_clock::now() > end_; }

    sqlite3* handle_;
    std::chrono::steady_clock::time_point end_ =
        std::chrono::steady_clock::now() + std::chrono::milliseconds(longest_wait_ms + longest_work_ms);
};

int bind(sqlite3_stmt* statement, int index, const Sqlite::Value& value)
{
    if (const auto* number = std::get_if<int>(&value))
        return sqlite3_bind_int(statement, index, *number);
    if (const auto* text = std::get_if<std::string_view>(&value))
        return sqlite3_bind_text64(statement, index, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
    return sqlite3_bind_null(statement, index);
}

} // namespace

int Sqlite::Row::integer(int column) const
{
    return sqlite3_column_int(statement_, column);
}

std::string Sqlite::Row::text(int column) const
{
    return nullable_text(column).value_or(std::string{});
}

std::optional<std::string> Sqlite::Row::nullable_text(int column) const
{
    const auto* bytes = sqlite3_column_text(statement_, column);
    if (bytes == nullptr)
        return std::nullopt;
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
    std::string result(size, '\0');
    std::memcpy(result.data(), bytes, size);
    return result;
}

bool Sqlite::Row::is_null(int column) const
{
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::size_t Sqlite::Row::size() const
{
    std::size_t sum = 0;
    for (int column = 0; column < sqlite3_column_count(statement_); ++column)
        sum += static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
    return sum;
}

void Sqlite::Close::operator()(sqlite3* handle) const
{
    sqlite3_close_v2(handle);
}

Sqlite::Result<Sqlite> Sqlite::open(const std::string& path, Access access)
{
    const auto name = access == Access::immutable ? immutable_uri(path) : path;
    sqlite3* handle = nullptr;
    const int code = sqlite3_open_v2(name.c_str(), &handle, flags_of(access), nullptr);
    Sqlite database{handle};
    if (code != SQLITE_OK)
        return tl::unexpected("cannot be opened: " + sentence(sqlite3_errstr(code), code));
    sqlite3_busy_timeout(handle, longest_wait_ms);
    // The file may come from anywhere: no function or virtual table is called because its schema says so.
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    // EVerest's has neither; and what is larger than a configuration file is none.
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
    sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, static_cast<int>(config::largest_file));
    return database;
}

tl::unexpected<std::string> Sqlite::failure() const
{
    return tl::unexpected(sentence(sqlite3_errmsg(handle_.get()), sqlite3_extended_errcode(handle_.get())));
}

bool Sqlite::moved() const
{
    int moved = 0;
    return sqlite3_file_control(handle_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

Sqlite::Result<void> Sqlite::run(std::string_view sql, std::initializer_list<Value> values, const RowHandler& handler)
{
    sqlite3_stmt* prepared = nullptr;
    if (sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &prepared, nullptr) != SQLITE_OK)
        return failure();
    const Statement statement{prepared};
    int index = 0;
    const TimeLimit limit{handle_.get()};
    for (const auto& value : values)
        if (bind(prepared, ++index, value) != SQLITE_OK)
            return failure();
    for (;;) {
        const int code = sqlite3_step(prepared);
        if (code == SQLITE_DONE)
            return {};
        if (code != SQLITE_ROW)
            return failure();
        if (handler)
            handler(Row{prepared});
    }
}

Sqlite::Result<void> Sqlite::run_script(const std::string& sql)
{
    if (sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
        return failure();
    return {};
}

Sqlite::Result<int> Sqlite::number(std::string_view sql, std::initializer_list<Value> values)
{
    std::optional<int> found;
    const auto done = run(sql, values, [&](const Row& row) { found = found ? *found : row.integer(0); });
    if (!done)
        return tl::unexpected(done.error());
    return found.value_or(0);
}

Sqlite::Result<void> in_transaction(Sqlite& database, const std::function<Sqlite::Result<void>()>& action)
{
    // After some errors SQLite has undone it by itself, and then this fails.
    const auto undo = [](Sqlite* unfinished) { static_cast<void>(unfinished->run("ROLLBACK")); };
    if (auto begun = database.run("BEGIN IMMEDIATE"); !begun)
        return begun;
    std::unique_ptr<Sqlite, decltype(undo)> transaction{&database, undo};
    auto done = action();
    if (done)
        done = database.run("COMMIT");
    if (done)
        static_cast<void>(transaction.release());
    return done;
}

} // namespace belay::manager
