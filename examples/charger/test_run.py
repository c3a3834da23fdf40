# SPDX-License-Identifier: Apache-2.0
"""Runs the example charger for a few seconds, as the README's reader does, and reads what it prints."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

RUN = Path(__file__).resolve().parent / "run"
BUILD_DIRECTORY = os.environ["BELAY_BUILD_DIR"]
DEADLINE_S = 90
GRACE_S = 5  # for what outlives a launcher that was killed
ROW = re.compile(r"(?P<id>\S+) +(?P<module>\S+) +(?P<pid>\d+) (?P<user>\S+) +(?P<groups>\S+(?: \+\d+)?) +"
                 r"(?P<capabilities>-|CAP_\S+|\d+, below) +(?P<nnp>yes|no) +(?P<seccomp>\S+) +(?P<ready>\d+ ms|-)$")
MODULES = {"auth", "car", "evse", "intruder", "meter", "pilot", "slac", "tokens"}


def left_behind(process):
    """What a run that has ended has not removed; its directory carries its pid."""
    return list(Path("/tmp").glob(f"belay-charger-{process.pid}-*"))


def start(*arguments, **options):
    return subprocess.Popen([str(RUN), "--build-dir", BUILD_DIRECTORY, *arguments], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **options)


def runs(pid):
    """A zombie does not: without their launcher, processes are left to init, and not every container's init reaps."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def still_running(rows):
    """The rows of processes that do not end within GRACE_S."""
    deadline = time.monotonic() + GRACE_S
    while (left := [row[0] for row in rows.values() if runs(row["pid"])]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def broker_of(process):
    """The Mosquitto that this run has started."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = Path(f"/proc/{name}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1]
            if int(parent) == process.pid and b"mosquitto" in Path(f"/proc/{name}/cmdline").read_bytes():
                return int(name)
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    raise AssertionError("the run has no broker")


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
        self.assertEqual(still_running(self.rows), [])


# The build directory of somebody who is not root: cmake writes there when it installs.
AS_SOMEBODY = """
mount -t tmpfs tmpfs "$2" && mkdir "$2/upper" "$2/work"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$1"
chmod a+w "$1" && chmod -R a+w "$1/systemd" && find "$1" -maxdepth 1 -name 'install_manifest*' -exec chmod a+w {} +
exec setpriv --reuid daemon --regid daemon --clear-groups "$3" --without-root --build-dir "$1" --for 5
"""


class WithoutRoot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(dir="/tmp")
        cls.addClassCleanup(scratch.cleanup)
        cls.done = subprocess.run(["unshare", "--mount", "sh", "-euc", AS_SOMEBODY, "sh", BUILD_DIRECTORY, scratch.name,
                                   str(RUN)], capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd="/")
        cls.rows = {match["id"]: match for match in map(ROW.match, cls.done.stdout.splitlines()) if match}

    def test_all_are_who_starts_them_and_filtered(self):
        self.assertEqual((self.done.returncode, self.done.stderr), (0, ""), self.done.stdout)
        self.assertEqual({name: (row["user"], row["capabilities"], row["nnp"], row["seccomp"]) for name, row in self.rows.items()},
                         {name: ("daemon", "-", "yes", "filter") for name in MODULES | {"launcher", "manager"}})

    def test_power_flows_without_slac(self):
        self.assertRegex(self.done.stdout, r"(?m)^slac +\| raw packet socket on lo: Operation not permitted")
        self.assertRegex(self.done.stdout, r"(?m)^evse +\| session 1: 11.04 kW, [1-9]\d*\.\d Wh so far$")
        self.assertRegex(self.done.stdout, r"Stopped in order: 11 processes ended")

    def test_is_not_for_root(self):
        with start("--without-root") as process:
            _, errors = process.communicate(timeout=DEADLINE_S)
        self.assertEqual((process.returncode, errors), (1, "run: --without-root is for somebody who is not root; leave it out, "
                                                           "or become another user.\n"))


class End(unittest.TestCase):
    """Runs that something ends while the vehicle charges."""

    def end(self, whom, number):
        """Sends a signal to what `whom` finds, given the run and its rows; what was printed."""
        with start() as process:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "kW" in line:
                    break
            rows = {match["id"]: match for match in (ROW.match(line.rstrip("\n")) for line in lines) if match}
            os.kill(whom(process, rows), number)
            rest, errors = process.communicate(timeout=DEADLINE_S)
        self.assertEqual(still_running(rows), [])
        self.assertEqual(left_behind(process), [])
        return process.returncode, "".join(lines) + rest, errors

    def assert_stops(self, number):
        code, output, errors = self.end(lambda process, rows: process.pid, number)
        self.assertEqual((code, errors), (0, ""), output)
        self.assertRegex(output, r"Stopped in order: 11 processes ended")

    def test_interrupted(self):
        self.assert_stops(signal.SIGINT)

    def test_terminated(self):
        self.assert_stops(signal.SIGTERM)

    def test_a_module_dies(self):
        code, output, errors = self.end(lambda process, rows: int(rows["meter"]["pid"]), signal.SIGKILL)
        self.assertEqual(code, 1)
        self.assertRegex(output, r"meter \(pid \d+\): ended unexpectedly: killed by SIGKILL")
        self.assertRegex(errors, r"run: the charger failed: bin/manager ended by itself, with exit code 1")

    def test_the_broker_dies(self):
        code, output, _ = self.end(lambda process, rows: broker_of(process), signal.SIGKILL)
        self.assertEqual(code, 1)
        self.assertIn("broker is lost", output)

    def test_the_launcher_dies(self):
        code, _, errors = self.end(lambda process, rows: int(rows["launcher"]["pid"]), signal.SIGKILL)
        self.assertEqual(code, 1)
        self.assertIn("killed by SIGKILL", errors)


class Remedies(unittest.TestCase):
    """What cmake says, line breaks included, and what helps; its words are those of real runs."""

    def test_follow_the_log(self):
        sys.path.insert(0, str(RUN.parent / "runner"))
        from build import remedy  # pylint: disable=import-outside-toplevel
        for log, expected in (
                (["  file INSTALL cannot copy file", '  "a" to "b": No', "  space left on device."], "Free some space"),
                (["ninja: error: Error writing to build log: Read-only file system"], "able to write"),
                (["CMake Error: Unable to (re)create the private pkgRedirects directory:"], "able to write"),
                (["error: expected ;"], "Mend it")):
            self.assertIn(expected, remedy(log, "Mend it."))


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
                              r"^run: only root can start modules as another user: .* or with --without-root\.\n$")

    def test_does_not_guess_options(self):
        self.assert_fails(start("--fro", "5"), r"^run: unknown option `--fro`; see --help\n$")

    def test_says_which_stage_failed_and_what_helps(self):
        with tempfile.TemporaryDirectory() as empty:
            process = start("--build-dir", empty)
            self.assert_fails(process, r"(?s)installing from .* failed.*If a file is\s+missing,\s+build\s+the\s+target")
        self.assertEqual(left_behind(process), [])


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("needs root")
        sys.exit(77)
    unittest.main()
