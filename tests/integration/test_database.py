# SPDX-License-Identifier: Apache-2.0
"""`--db`: where the modules come from, what the database may say, and what becomes of one that is not as it should be."""

import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import time

import harness
from harness import SHARED, needs_everest
from mqtt import Broker
from test_parameters import Parameters


class Databases(Parameters):
    def directory(self):
        """One of the manager's user."""
        directory = self.scratch / "data"
        directory.mkdir(exist_ok=True)
        os.chown(directory, self.everest.pw_uid, self.everest.pw_gid)
        return directory

    def setUp(self):
        super().setUp()
        self.file = self.directory() / "everest.db"

    def give(self):
        for path in self.file.parent.iterdir():
            os.chown(path, self.everest.pw_uid, self.everest.pw_gid)

    def query(self, sql, *values):
        with sqlite3.connect(self.file) as connection:
            rows = connection.execute(sql, values).fetchall()
        connection.close()
        return rows

    def seeded(self, **settings):
        self.configure(**settings)
        self.assertEqual(self.run_manager("--db", self.file).stop(), 0)

    def assert_refused_untouched(self, *texts, options=()):
        """Neither the file nor anything beside it is changed."""
        before = self.contents()
        manager = self.start(self.prefix, self.config, "--db", self.file, *options)
        self.assert_refused(manager, self.file, *texts)
        self.assertEqual(self.contents(), before)

    def contents(self):
        return {path.name: path.read_bytes() for path in self.file.parent.iterdir() if path.is_file()}


class Sources(Databases):
    def test_file_first_then_database(self):
        self.configure(run_as_user="everest")
        manager = self.run_manager("--db", self.file)
        manager.wait_for_log("is put into the database")
        self.assertEqual(self.told()["level"], 16.0)
        self.assertEqual(self.set("17", "level"), ("Ok", "Accepted", ""))
        self.assertEqual(self.set("7", "speed", "main"), ("Ok", "RebootRequired", ""))
        self.assertEqual(self.query("SELECT PARAMETER_NAME, VALUE, DATATYPE_ID, MUTABILITY_ID FROM CONFIGURATION "
                                    "WHERE MODULE_ID = 'two' ORDER BY PARAMETER_NAME"),
                         [("label", "none", 1, 0), ("level", "17", 2, 1), ("speed", "7", 3, 0)])
        self.assertFalse((self.config.parent / "user-config").exists())
        self.assertEqual(manager.stop(), 0)
        self.assertEqual(self.file.stat().st_uid, self.everest.pw_uid)
        self.config.write_text(self.config.read_text().replace('"level": 16', '"level": 99'))
        manager = self.run_manager("--db", self.file)
        manager.wait_for_log("the modules are those of the database")
        self.assertEqual((self.told()["level"], self.told()["speed"]), (17.0, 7))
        self.assertEqual(manager.stop(), 0)
        manager = self.run_manager("--db", self.file, "--reset-from-yaml")
        self.assertEqual((self.told()["level"], self.told()["speed"]), (99.0, 3))
        self.assertEqual(manager.stop(), 0)
        self.assertEqual(self.query("SELECT count(*) FROM CONFIGURATION WHERE MODULE_ID = 'two'"), [(3,)])

    def test_database_alone(self):
        """Built-in settings; the database is root's own."""
        os.chown(self.file.parent, 0, 0)
        self.seeded()
        manager = self.start(self.prefix, None, "--db", self.file, environment=self.tcp_environment())
        manager.wait_for("ALL_MODULES_STARTED")
        self.assertEqual(manager.stop(), 0)

    def tcp_environment(self):
        broker = Broker(self, "tcp", tcp=True)
        return {"PATH": "/usr/bin:/bin", "MQTT_SERVER_ADDRESS": "127.0.0.1", "MQTT_SERVER_PORT": str(broker.port)}

    def test_nothing_anywhere(self):
        os.chown(self.file.parent, 0, 0)
        manager = self.start(self.prefix, None, "--db", self.file)
        self.assert_refused(manager, "there is no module to start")
        self.assertFalse(self.file.exists())

    def test_check_touches_nothing(self):
        self.configure(run_as_user="everest")
        self.file.write_text("no database")
        self.assertEqual(self.start(self.prefix, self.config, "--check", "--db", self.file).wait(), 0)

    def test_slots(self):
        """The slot that is marked for the boot counts, and the others stay as they are."""
        self.seeded(run_as_user="everest")
        for sql in ("INSERT INTO CONFIG VALUES (3)", "INSERT INTO BOOT_CONFIG VALUES (0, 3)"):
            self.query(sql)
        manager = self.run_manager("--db", self.file)
        self.assertEqual(self.set("40", "level"), ("Ok", "Accepted", ""))
        self.assertEqual(manager.stop(), 0)
        self.assertEqual(self.query("SELECT CONFIG_ID, VALUE FROM CONFIGURATION WHERE MODULE_ID = 'two' "
                                    "AND PARAMETER_NAME = 'level' ORDER BY 1"), [(0, "16.0"), (3, "40")])


class Trust(Databases):
    def test_values_only(self):
        cases = {
            "UPDATE MODULE SET NAME = 'Other' WHERE ID = 'two'": "another `module` for the module `two`",
            "UPDATE MODULE SET CAPABILITIES = '[\"CAP_SYS_ADMIN\"]' WHERE ID = 'two'": "another `capabilities`",
            "UPDATE MODULE SET STANDALONE = 1 WHERE ID = 'two'": "another `standalone`",
            "INSERT INTO MODULE VALUES (0, 'three', 'Thing', 0, NULL)": "has the module `three`",
            "DELETE FROM MODULE WHERE ID = 'two'": "lacks the module `two`",
            "INSERT INTO MODULE_FULFILLMENT VALUES (0, 'two', 'other', 0, 'main', 'one')": "another `connections`",
            "INSERT INTO MODULE_TIER_MAPPING VALUES (0, 'two', '!module', 1, NULL)": "another `mapping`",
            "INSERT INTO CONFIG_ACCESS VALUES (0, 'two', 1, 1, 1)": "another `access`",
        }
        self.seeded(run_as_user="everest")
        original = self.file.read_bytes()
        for sql, text in cases.items():
            self.query(sql)
            self.give()
            with self.subTest(sql):
                manager = self.start(self.prefix, self.config, "--db", self.file)
                self.assert_refused(manager, self.file, text, self.config, "--reset-from-yaml")
            self.file.write_bytes(original)

    def test_values_are_validated(self):
        self.seeded(run_as_user="everest")
        original = self.file.read_bytes()
        for value, text in (("-4", "at least 0"), ("high", "which is not of its type")):
            self.query("UPDATE CONFIGURATION SET VALUE = ? WHERE MODULE_ID = 'two' AND PARAMETER_NAME = 'level'", value)
            self.give()
            with self.subTest(value):
                self.assert_refused(self.start(self.prefix, self.config, "--db", self.file), self.file, "level", text)
            self.file.write_bytes(original)

    def test_never_root(self):
        """What root alone may read is not read, whatever the file leads to."""
        self.configure(run_as_user="everest")
        secret = self.scratch / "secret.db"
        with sqlite3.connect(secret) as connection:
            connection.execute("CREATE TABLE T (X)")
        connection.close()
        secret.chmod(0o600)
        self.file.symlink_to(secret)
        self.assert_refused(self.start(self.prefix, self.config, "--db", self.file), self.file)

    def test_root_wants_its_own(self):
        self.configure()
        self.assert_refused_untouched("root opens only a database that nobody else can write")
        os.chown(self.file.parent, 0, 0)
        self.file.parent.chmod(0o1777)
        self.assert_refused_untouched("others can create files in")

    def test_without_run_as_user_all_counts(self):
        os.chown(self.file.parent, 0, 0)
        self.seeded()
        self.query("INSERT INTO MODULE VALUES (0, 'three', 'Thing', 0, NULL)")
        manager = self.run_manager("--db", self.file)
        self.observer.report("three")
        self.assertEqual(manager.stop(), 0)


class Hostile(Databases):
    """What a module can make of a file of its own user."""

    def setUp(self):
        super().setUp()
        self.configure(run_as_user="everest")

    def test_trigger(self):
        """It never ends, and the manager goes on nevertheless."""
        manager = self.run_manager("--db", self.file)
        self.query("CREATE TRIGGER T AFTER UPDATE ON CONFIGURATION BEGIN DELETE FROM CONFIG_META WHERE ID IN (WITH "
                   "RECURSIVE N(X) AS (SELECT 1 UNION ALL SELECT X + 1 FROM N) SELECT X FROM N WHERE X < 0); END")
        self.assertEqual(self.set("17", "level"), ("Ok", "Accepted", ""))
        self.assertEqual(manager.stop(), 0)

    def test_too_much(self):
        """Refused before it takes memory."""
        self.seeded(run_as_user="everest")
        original = self.file.read_bytes()
        for sql, text in {
            "UPDATE CONFIGURATION SET VALUE = printf('%.*c', 20000000, 'x')": "too big",
            "UPDATE MODULE SET CAPABILITIES = printf('%.*c', 5000000, '[')": "which is no list",
            "UPDATE MODULE SET CAPABILITIES = '[' || replace(printf('%.*c', 100000, ','), ',', '[],') || '[]]'":
                "which is no list",
            "WITH RECURSIVE N(X) AS (SELECT 1 UNION ALL SELECT X + 1 FROM N WHERE X < 110000) INSERT INTO CONFIGURATION "
            "SELECT 0, 'p' || X, 'two', '!module', '1', 0, 3, NULL, NULL FROM N": "100,000 rows",
        }.items():
            with self.subTest(text):
                self.file.write_bytes(original)
                self.query(sql)
                self.assert_refused(self.start(self.prefix, self.config, "--db", self.file), self.file, text)

    def test_another_in_its_place(self):
        """What is answered as stored is in the file of that name."""
        manager = self.run_manager("--db", self.file)
        self.query("PRAGMA wal_checkpoint(TRUNCATE)")
        other = self.file.with_name("other")
        shutil.copyfile(self.file, other)
        os.chown(other, self.everest.pw_uid, self.everest.pw_gid)
        other.rename(self.file)
        self.assertEqual(self.set("17", "level"), ("Ok", "Accepted", ""))
        self.assertEqual(self.query("SELECT VALUE FROM CONFIGURATION WHERE MODULE_ID = 'two' AND "
                                    "PARAMETER_NAME = 'level'"), [("17",)])
        self.file.unlink()
        self.assertEqual(self.set("18", "level")[:2], ("Ok", "Rejected"))
        self.assertEqual(manager.stop(), 0)

    def test_pipe_beside_it(self):
        """SQLite would wait for its other end."""
        self.seeded(run_as_user="everest")
        os.mkfifo(f"{self.file}-journal")
        self.give()
        self.assert_refused_untouched("everest.db-journal, which is not a regular file")

    def test_values_that_the_next_start_would_refuse(self):
        manager = self.run_manager("--db", self.file)
        self.assertEqual(self.set("x" * 1_000_000, "label"), ("Ok", "RebootRequired", ""))
        self.assertEqual(self.set("x" * 1_000_000, "label", None, "one", origin="one"),
                         ("Ok", "Rejected", "Failed to persist change"))
        manager.wait_for_log("would hold more than 2 MB of values")
        self.assertEqual(self.set("17", "level"), ("Ok", "Accepted", ""))
        self.assertEqual(manager.stop(), 0)
        self.run_manager("--db", self.file)
        self.assertEqual(len(self.told()["label"]), 1_000_000)


class Odd(Databases):
    def setUp(self):
        super().setUp()
        self.configure(run_as_user="everest")

    def test_not_a_database(self):
        self.file.write_bytes(os.urandom(8192))
        self.give()
        self.assert_refused_untouched("not a database", "move it away")
        self.assert_refused_untouched("not a database", options=["--reset-from-yaml"])

    def test_directory(self):
        self.file.mkdir()
        self.assert_refused_untouched("is a directory")

    def test_pipe(self):
        os.mkfifo(self.file)
        self.assert_refused_untouched("is not a regular file")

    def test_foreign(self):
        self.query("CREATE TABLE SONGS (TITLE)")
        self.give()
        self.assert_refused_untouched("is not a configuration database of EVerest")
        self.query("PRAGMA user_version = 4")
        self.assert_refused_untouched("it has no table CONFIG")

    def test_newer(self):
        self.seeded(run_as_user="everest")
        self.query("PRAGMA user_version = 5")
        self.give()
        self.assert_refused_untouched("is of a newer EVerest (schema 5")

    def test_damaged(self):
        self.seeded(run_as_user="everest")
        content = bytearray(self.file.read_bytes())
        for offset in range(2 * 4096, len(content), 64):
            content[offset:offset + 16] = os.urandom(16)
        self.file.write_bytes(content)
        self.assert_refused_untouched("damaged")

    def test_locked(self):
        self.seeded(run_as_user="everest")
        connection = sqlite3.connect(self.file, isolation_level=None)
        self.addCleanup(connection.close)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        begin = time.monotonic()
        manager = self.start(self.prefix, self.config, "--db", self.file)
        self.assert_reader_is_secluded(manager)
        self.assert_refused(manager, self.file, "another process has it")
        self.assertLess(time.monotonic() - begin, 12)

    def assert_reader_is_secluded(self, manager):
        """While it waits for the lock: it is not root, and cannot leave a child behind."""
        limit = re.compile(r"^Max processes +0 +0 ", re.MULTILINE)
        deadline = time.monotonic() + 4
        children = []
        while not (children and limit.search(pathlib.Path(f"/proc/{children[0]}/limits").read_text())):
            self.assertLess(time.monotonic(), deadline, children)
            children = harness.children_of(manager.pid)
        self.assertEqual(len(children), 1)
        uid = self.everest.pw_uid
        self.assertIn(f"Uid:\t{uid}\t{uid}\t{uid}\t", pathlib.Path(f"/proc/{children[0]}/status").read_text())

    def test_read_only(self):
        """It is read; a change is refused, and said so at the start."""
        self.seeded(run_as_user="everest")
        os.chown(self.file.parent, 0, 0)
        os.chown(self.file, 0, 0)
        self.file.chmod(0o644)
        before = self.contents()
        manager = self.run_manager("--db", self.file)
        manager.wait_for_log("parameters cannot be changed at run time")
        self.assertEqual(self.set("3", "level"), ("Ok", "Rejected", "Failed to persist change"))
        self.assertEqual(manager.stop(), 0)
        self.assertEqual(self.contents(), before)

    def test_full_medium(self):
        """The manager writes the database onto a medium that is full."""
        small = self.scratch / "small"
        small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=4m,uid={self.everest.pw_uid}", "none", small], check=True)
        self.addCleanup(subprocess.run, ["umount", small], check=True)
        self.file = small / "everest.db"
        manager = self.run_manager("--db", self.file)
        filler = small / "filler"
        with open(filler, "wb", buffering=0) as file, self.assertRaises(OSError):
            while True:
                file.write(bytes(4096))
        answers = {self.set("x" * 9000 + str(number), "label")[1] for number in range(3)}
        self.assertIn("Rejected", answers)
        filler.unlink()
        self.assertEqual(self.set("after", "label")[1], "RebootRequired")
        self.assertEqual(manager.stop(), 0)
        self.assertEqual(self.query("PRAGMA integrity_check"), [("ok",)])

    def test_empty_file(self):
        self.file.touch()
        self.give()
        self.run_manager("--db", self.file).wait_for_log("is put into the database")

    def test_directory_is_made(self):
        self.file = self.file.parent / "deep" / "down" / "everest.db"
        self.assertEqual(self.run_manager("--db", self.file).stop(), 0)
        self.assertTrue(self.file.exists())


TABLES = ["CONFIG", "CONFIG_META", "BOOT_CONFIG", "MODULE", "MODULE_FULFILLMENT", "MODULE_TIER_MAPPING",
          "CONFIGURATION", "CONFIG_ACCESS", "MODULE_CONFIG_ACCESS", "MUTABILITY", "DATATYPE"]


def shape_of(file):
    """What SQLite makes of the tables, however they were written."""
    connection = sqlite3.connect(f"file:{file}?immutable=1", uri=True)
    result = {table: {pragma: sorted(connection.execute(f"PRAGMA {pragma}({table})").fetchall())
                      for pragma in ("table_info", "foreign_key_list")} for table in TABLES}
    for table in ("MUTABILITY", "DATATYPE"):
        result[table]["rows"] = sorted(connection.execute(f"SELECT * FROM {table}").fetchall())
    result["version"] = connection.execute("PRAGMA user_version").fetchone()
    result["others"] = sorted(name for (name,) in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table'") if name not in TABLES)
    connection.close()
    return result


class EVerest(Databases):
    """Databases that EVerest's own manager made."""

    def everest_database(self, name):
        file = SHARED / "everest-docs/databases" / name
        if not file.exists():
            self.skipTest(f"there is no {file}")
        shutil.copyfile(file, self.file)
        self.give()

    def test_schema_is_everests(self):
        self.everest_database("three-modules.db")
        expected = shape_of(self.file)
        self.file.unlink()
        self.seeded(run_as_user="everest")
        self.assertEqual(shape_of(self.file), expected)

    @needs_everest
    def test_opens(self):
        self.prefix = harness.Prefix.everest(self.scratch / "whole")
        os.chown(self.file.parent, 0, 0)
        broker = Broker(self, "tcp", tcp=True)  # for modules that are root without its capabilities
        for name, modules in (("three-modules.db", 3), ("config-sil.db", 17)):
            self.everest_database(name)
            os.chown(self.file, 0, 0)
            config = self.prefix.configure({}, **broker.settings)
            before = shape_of(self.file)
            manager = self.start(self.prefix, config, "--db", self.file)
            manager.wait_for("ALL_MODULES_STARTED")
            self.assertEqual(len(manager.module_pids()), modules)
            self.assertEqual(manager.stop(), 0)
            self.assertEqual(shape_of(self.file), before)


if __name__ == "__main__":
    harness.main()
