# SPDX-License-Identifier: Apache-2.0
"""A charger of many modules takes more descriptors than the usual soft limit has; modules see nothing of that."""

import pathlib
import signal

import harness
from harness import Prefix, wait_until
from mqtt import Broker

MODULES = {f"module_{number}": "Thing" for number in range(40)}


class Descriptors(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.config = self.prefix.configure(MODULES, run_as_user="everest", **self.broker.settings)

    def begin(self, limits):
        self.manager = self.start(self.prefix, self.config, wrap=lambda command: ["prlimit", f"--nofile={limits}", *command])

    def limits(self):
        """By module: its soft and hard limit."""
        return {module: open_files(pid) for module, pid in self.manager.module_pids().items()}

    def test_soft_limit_is_raised_for_both_halves_alone(self):
        self.prefix.write("etc/everest/belay.yaml", "modules: {module_7: {limits: {LimitNOFILE: '32:100'}}}")
        self.begin("64:3000")
        self.manager.hold_fifo()
        self.manager.wait_for("ALL_MODULES_STARTED")
        expected = dict.fromkeys(MODULES, ("64", "3000")) | {"module_7": ("32", "100")}
        self.assertEqual(self.limits(), expected)
        self.assertEqual(open_files(self.manager.pid), ("3000", "3000"))
        self.assertEqual(open_files(self.manager.manager_pid()), ("3000", "3000"))
        self.manager.send(signal.SIGHUP)
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == 2, lambda: str(self.manager))
        self.assertEqual(self.limits(), expected)
        self.assertEqual(self.manager.stop(signal.SIGTERM), 0, self.manager)

    def test_hard_limit_that_is_too_low(self):
        self.begin("64:64")
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertRegex(self.manager.log, r"launcher: 40 modules take up to \d+ open files, and the hard limit is 64; "
                                           "raise LimitNOFILE= of the unit, or `ulimit -Hn`")
        self.assertNotIn("ALL_MODULES_STARTED", self.manager.status())


def open_files(pid):
    for line in pathlib.Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith("Max open files"):
            return tuple(line.split()[3:5])
    raise AssertionError(f"no limit of {pid}")


if __name__ == "__main__":
    harness.main()
