# SPDX-License-Identifier: Apache-2.0
"""Runs the example charger for a few seconds, as the README's reader does, and reads what it prints."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

RUN = Path(__file__).resolve().parent / "run"
BUILD_DIRECTORY = os.environ["BELAY_BUILD_DIR"]
DEADLINE_S = 90
ROW = re.compile(r"(?P<id>\S+) +(?P<module>\S+) +(?P<pid>\d+) (?P<user>\S+) +(?P<groups>\S+(?: \+\d+)?) +"
                 r"(?P<capabilities>-|CAP_\S+|\d+, below) +(?P<nnp>yes|no) +(?P<seccomp>\S+) +(?P<ready>\d+ ms|-)$")
MODULES = {"auth", "car", "evse", "intruder", "meter", "pilot", "slac", "tokens"}


def left_behind(process):
    """What a run that has ended has not removed; its directory carries its pid."""
    return list(Path("/tmp").glob(f"belay-charger-{process.pid}-*"))


def start(*arguments, **options):
    return subprocess.Popen([str(RUN), "--build-dir", BUILD_DIRECTORY, *arguments], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **options)


class RunFor(unittest.TestCase):
    """One run, and what can be said of it."""

    @classmethod
    def setUpClass(cls):
        with start("--for", "5", cwd="/") as cls.process:
            cls.output, cls.errors = cls.process.communicate(timeout=DEADLINE_S)
        cls.rows = {match["id"]: match for match in map(ROW.match, cls.output.splitlines()) if match}

    def test_succeeds_and_complains_of_nothing(self):
        self.assertEqual((self.process.returncode, self.errors), (0, ""), self.output)

    def test_shows_a_row_for_every_process(self):
        self.assertEqual(set(self.rows), MODULES | {"launcher", "manager"}, self.output)

    def test_every_module_is_everest_and_filtered(self):
        for module in MODULES | {"manager"}:
            row = self.rows[module]
            self.assertEqual((row["user"], row["nnp"], row["seccomp"]), ("everest", "yes", "filter"), row[0])

    def test_only_slac_has_a_capability(self):
        held = {module: self.rows[module]["capabilities"] for module in MODULES | {"manager"}}
        self.assertEqual(held.pop("slac"), "CAP_NET_RAW")
        self.assertEqual(set(held.values()), {"-"}, held)

    def test_slac_uses_it_and_the_intruder_is_refused(self):
        self.assertRegex(self.output, r"(?m)^slac +\| CM_SLAC_PARM.REQ on lo: answered after \d+ us$")
        self.assertRegex(self.output, r"(?m)^intruder +\| raw packet socket: refused \(EPERM\)")
        self.assertRegex(self.output, r"(?m)^intruder +\| becoming root: refused \(EPERM\)")

    def test_power_flows(self):
        self.assertRegex(self.output, r"(?m)^evse +\| session 1: 11.04 kW, [1-9]\d*\.\d Wh so far$")

    def test_is_plain_and_fits_80_columns(self):
        self.assertNotIn("\033", self.output)
        self.assertEqual([line for line in self.output.splitlines() if len(line) > 80], [])

    def test_leaves_nothing_behind(self):
        self.assertEqual(left_behind(self.process), [])
        left = [row[0] for row in self.rows.values() if Path(f"/proc/{row['pid']}").exists()]
        self.assertEqual(left, [])


class Stop(unittest.TestCase):
    def stop_when_charging(self, number):
        with start() as process:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "kW" in line:
                    process.send_signal(number)
                    break
            rest, errors = process.communicate(timeout=DEADLINE_S)
        output = "".join(lines) + rest
        self.assertEqual((process.returncode, errors), (0, ""), output)
        self.assertRegex(output, r"Stopped in order: 11 processes ended")
        pids = [match["pid"] for match in map(ROW.match, output.splitlines()) if match]
        self.assertEqual([pid for pid in pids if Path(f"/proc/{pid}").exists()], [])
        self.assertEqual(left_behind(process), [])

    def test_interrupted(self):
        self.stop_when_charging(signal.SIGINT)

    def test_terminated(self):
        self.stop_when_charging(signal.SIGTERM)


class Refusals(unittest.TestCase):
    def assert_fails(self, process, pattern):
        with process:
            output, errors = process.communicate(timeout=DEADLINE_S)
        self.assertEqual(process.returncode, 1, output + errors)
        self.assertRegex(errors, pattern)

    def test_says_that_it_needs_root(self):
        with open(RUN, encoding="utf-8") as script:  # read by us: nobody may not be able to reach the checkout
            self.assert_fails(subprocess.Popen(["/bin/bash", "-s"], stdin=script, stdout=subprocess.PIPE,
                                               stderr=subprocess.PIPE, text=True, cwd="/", user="nobody",
                                               extra_groups=[]),
                              r"^run: this must be started as root, .*\n$")

    def test_does_not_guess_options(self):
        self.assert_fails(start("--fro", "5"), r"^run: unknown option `--fro`; see --help\n$")

    def test_says_which_stage_failed_and_what_helps(self):
        with tempfile.TemporaryDirectory() as empty:
            process = start("--build-dir", empty)
            self.assert_fails(process, r"(?s)installing from .* failed.*\n +Build the target")
        self.assertEqual(left_behind(process), [])


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    unittest.main()
