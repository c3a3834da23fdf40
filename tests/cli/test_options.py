# SPDX-License-Identifier: Apache-2.0
"""The command line: what --help shows, and what is said of a mistake."""

import unittest

from manager import manager

COLUMNS = 80


class Help(unittest.TestCase):
    def test_fits_a_terminal(self):
        done = manager("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("--trust-files-of USER", done.stdout)
        self.assertEqual([line for line in done.stdout.splitlines() if len(line) > COLUMNS], [])


class Mistakes(unittest.TestCase):
    def refused(self, sentence, *arguments):
        done = manager(*arguments)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", f"manager: {sentence}\n"))

    def test_misspelt_option(self):
        self.refused("unknown option `--chek`; did you mean `--check`?; see --help", "--chek", "--config", "a")
        self.refused("unknown option `--status-fifi`; did you mean `--status-fifo`?; see --help", "--status-fifi=a")

    def test_unknown_option(self):
        self.refused("unknown option `--daemonise`; see --help", "--daemonise")

    def test_stray_argument(self):
        self.refused("The following argument was not expected: run; see --help", "run")


if __name__ == "__main__":
    unittest.main()
