# SPDX-License-Identifier: Apache-2.0
"""What whoever starts the manager leaves to it: children, and signals that are ignored."""

import os
import signal
import unittest

import harness
from harness import START, STOP, Prefix, alive, wait_until
from mqtt import Broker
from processes import landlock_abi

needs_scopes = unittest.skipUnless(landlock_abi() >= 6, "needs Landlock's ABI 6 (Linux 6.12)")
MODULES = {"store": "Thing", "example": "Thing"}


class Caller(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)

    def begin(self, *before):
        """`before`: a command that executes its further arguments."""
        config = self.prefix.configure(MODULES, run_as_user="everest", **self.broker.settings)
        self.manager = self.start(self.prefix, config, wrap=lambda command: [*before, *command])
        self.manager.hold_fifo()
        self.manager.wait_for("ALL_MODULES_STARTED")

    def begin_with_helper(self):
        """An entry point that leaves a process of its own: its pid."""
        note = self.scratch / f"helper-{self._managers}"
        self.begin("sh", "-c", f'sleep 1000 & echo $! >{note}; exec "$0" "$@"')
        helper = int(note.read_text())
        self.addCleanup(os.kill, helper, signal.SIGKILL)
        return helper

    def test_ends_of_children_are_seen_although_they_were_ignored(self):
        self.begin("env", "--ignore-signal=CHLD")
        os.kill(self.manager.module_pids()["example"], signal.SIGKILL)
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertIn("ended unexpectedly: killed by SIGKILL", self.manager.log)

    @needs_scopes
    def test_an_earlier_child_outlives_a_stop(self):
        helper = self.begin_with_helper()
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.assertEqual(self.manager.status(), START + STOP)
        self.assertNotIn("did not end", self.manager.log)
        self.assertTrue(alive(helper))

    @needs_scopes
    def test_an_earlier_child_outlives_a_reload(self):
        helper = self.begin_with_helper()
        self.manager.send(signal.SIGHUP)
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == 2, lambda: str(self.manager))
        self.assertTrue(alive(helper))
        self.assertEqual(self.manager.stop(), 0, self.manager)


if __name__ == "__main__":
    harness.main()
