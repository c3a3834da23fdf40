# SPDX-License-Identifier: Apache-2.0
"""The command line: what --help shows, and what is said of a mistake."""

import shutil
import subprocess
import unittest

from manager import CONFIG, MANAGER, Prefix, manager

COLUMNS = 80


class Help(unittest.TestCase):
    def test_fits_a_terminal(self):
        done = manager("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("--trust-files-of USER", done.stdout)
        self.assertEqual([line for line in done.stdout.splitlines() if len(line) > COLUMNS], [])

    def test_output_that_cannot_be_written(self):
        for option in ("--help", "--version", "--last-reset"):
            with self.subTest(option), open("/dev/full", "w", encoding="utf-8") as full:
                done = subprocess.run([MANAGER, option], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
                self.assertEqual((done.returncode, done.stderr),
                                 (1, "manager: could not write to standard output: No space left on device\n"))


class Mistakes(unittest.TestCase):
    def refused(self, sentence, *arguments):
        done = manager(*arguments)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", f"manager: {sentence}\n"))

    def test_misspelt_option(self):
        self.refused("unknown option `--chek`; did you mean `--check`?; see --help", "--chek", "--config", "a")
        self.refused("unknown option `--status-fifi`; did you mean `--status-fifo`?; see --help", "--status-fifi=a")

    def test_unknown_option(self):
        self.refused("unknown option `--daemonise`; see --help", "--daemonise")
        self.refused("unknown option `-x`; see --help", "-x")

    def test_value_of_a_flag(self):
        self.refused("`--check` takes no value; leave it out where it is not wanted; see --help", "--check=0",
                     "--config", "a")

    def test_twice(self):
        for arguments in (("--check", "--check"), ("--config", "a", "--config", "b")):
            done = manager(*arguments)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))
            self.assertIn(arguments[0], done.stderr)

    def test_value_is_missing(self):
        for option in ("--config", "--standalone", "-s", "--ignore", "--db"):
            done = manager(option)
            self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))

    def test_both_names_of_the_configuration(self):
        self.refused("--conf is the old name of --config: give only one of them", "--conf", "a", "--config", "b")

    def test_reset_without_a_configuration(self):
        sentence = "--reset-from-yaml needs --config FILE: there is nothing else to fill the database from"
        self.refused(sentence, "--reset-from-yaml", "--db", "c.db")


class Accepted(unittest.TestCase):
    """What EVerest's manager takes, too."""

    def setUp(self):
        self.prefix = Prefix()
        self.addCleanup(self.prefix.remove)
        self.config = self.prefix.write(CONFIG, "active_modules: {a: {module: Thing, config_module: {level: 2}}, "
                                                "b: {module: Thing, config_module: {level: 2}}}\n")

    def check(self, *arguments, prefix=True):
        options = ["--prefix", self.prefix.path] if prefix else []
        done = manager("--check", *options, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stderr

    def test_several_values(self):
        for option in ("--standalone", "-s", "--ignore"):
            self.assertNotIn("warning: --", self.check(option, "a", "b", "--config", self.config))
            self.assertIn("there is no module id `c`", self.check("--config", self.config, option, "a", option, "c"))

    def test_old_name_of_the_configuration(self):
        self.assertIn("--conf is deprecated; use --config\n", self.check("--conf", self.config))

    def test_db_init(self):
        self.assertIn("--db-init is deprecated and has no effect", self.check("--db-init", "--config", self.config))

    def test_stray_argument(self):
        said = self.check("--config", self.config, "run")
        self.assertIn("ignored the argument `run`, which belongs to no option\n", said)
        said = self.check("--config", self.config, self.config)
        self.assertIn(f"which belongs to no option; did you mean `--config {self.config}`?\n", said)

    def test_ids_with_commas(self):
        self.assertIn("--ignore: there is no module id `a,b`; ids are separated by spaces",
                      self.check("--config", self.config, "--ignore", "a,b"))

    def test_version(self):
        done = manager("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^\S+/manager \(belay \d+\.\d+\.\d+\)\n$")

    def test_prefix_of_the_program(self):
        """A build for another prefix that was copied into this one."""
        program = self.prefix.path / "bin/manager"
        program.parent.mkdir()
        shutil.copy(MANAGER, program)
        done = subprocess.run([program, "--check", "--config", "c"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
