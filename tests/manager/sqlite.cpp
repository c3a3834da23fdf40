// SPDX-License-Identifier: Apache-2.0
#include "manager/sqlite.hpp"

#include <catch2/catch.hpp>

using namespace belay::manager;

TEST_CASE("no statement takes forever")
{
    auto database = Sqlite::open(":memory:", Sqlite::Access::create);
    REQUIRE(database);
    const auto done = database->number("WITH RECURSIVE N(X) AS (SELECT 1 UNION ALL SELECT X + 1 FROM N) "
                                       "SELECT count(*) FROM N");
    REQUIRE_FALSE(done);
    CHECK(done.error().find("longer than a configuration can") != std::string::npos);
    CHECK(database->number("SELECT 7") == 7);
}

TEST_CASE("neither triggers nor views count, and keys do")
{
    auto database = Sqlite::open(":memory:", Sqlite::Access::create);
    REQUIRE(database);
    REQUIRE(database->run_script("PRAGMA foreign_keys = ON; CREATE TABLE A (X INTEGER PRIMARY KEY);"
                                 "CREATE TABLE B (X REFERENCES A (X) ON DELETE CASCADE); CREATE TABLE C (X);"
                                 "CREATE TRIGGER T AFTER DELETE ON A BEGIN INSERT INTO C VALUES (1); END;"
                                 "CREATE VIEW V AS SELECT * FROM A;"
                                 "INSERT INTO A VALUES (1); INSERT INTO B VALUES (1); DELETE FROM A"));
    CHECK(database->number("SELECT count(*) FROM B") == 0);
    CHECK(database->number("SELECT count(*) FROM C") == 0);
    CHECK_FALSE(database->number("SELECT count(*) FROM V"));
}
