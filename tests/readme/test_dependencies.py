#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""scripts/install-dependencies on a machine that has nothing and nobody who is root: what it would install."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
OPTIONS = ([], ["--charger"], ["--tests"], ["--system"])


class Dependencies(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(scratch.cleanup)
        self.bin = pathlib.Path(scratch.name)
        for name, script in (("dpkg-query", "exit 1"), ("id", "echo 1000")):
            (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.bin / name).chmod(0o755)

    def missing(self, *options):
        done = subprocess.run([SOURCE / "scripts/install-dependencies", *options], capture_output=True, text=True, check=False,
                              env={"PATH": f"{self.bin}:{os.environ['PATH']}"})
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        return set(re.search(r"as root: apt-get install (.*)", done.stderr)[1].split())

    def test_each_has_what_the_one_before_it_has(self):
        sets = [self.missing(*options) for options in OPTIONS]
        for less, more in zip(sets, sets[1:]):
            self.assertLess(less, more)

    def test_a_build_takes_no_tools_of_tests(self):
        build = self.missing()
        self.assertEqual({name for name in build if not name.endswith("-dev")}, {"g++", "cmake", "ninja-build", "pkg-config"})
        self.assertLessEqual(self.missing("--charger") - build, {"mosquitto", "python3", "python3-paho-mqtt"})

    def test_who_asks_for_what(self):
        for name, option in (("examples/charger/run", "--charger"), ("tests/run", "--tests"), ("tests/run", "--system")):
            self.assertIn(option, (SOURCE / name).read_text())
        self.assertIn("\nscripts/install-dependencies\n", (SOURCE / "README.md").read_text())

    def test_unknown_option(self):
        done = subprocess.run([SOURCE / "scripts/install-dependencies", "--all"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("unknown option `--all`; there are --charger, --tests, --system and --list", done.stderr)


if __name__ == "__main__":
    unittest.main()
