# SPDX-License-Identifier: Apache-2.0
"""Older kernels, and containers: some system calls fail. A charger starts nevertheless, or is told what to do."""

import os
import signal

import harness
from harness import Prefix
from mqtt import Broker

REFUSE = os.environ["BELAY_REFUSE"]
LANDLOCK = "landlock_create_ruleset,landlock_add_rule,landlock_restrict_self"
MODULES = {"a": "Thing", "b": "Thing"}


class RefusedCalls(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)

    def begin(self, calls, error):
        config = self.prefix.configure(MODULES, run_as_user="everest", **self.broker.settings)
        return self.start(self.prefix, config, wrap=lambda command: [REFUSE, calls, error, *command])

    def check_works(self, calls, error):
        """The log of a charger that starts and stops without these."""
        manager = self.begin(calls, error)
        manager.wait_for("ALL_MODULES_STARTED")
        self.assertEqual(manager.stop(signal.SIGTERM), 0, manager)
        return manager.log

    def test_no_landlock(self):
        # None in the kernel, none in lsm=, and a container's profile that does not know it.
        for error in ("ENOSYS", "EOPNOTSUPP", "EPERM"):
            with self.subTest(error):
                self.assertIn("Landlock", self.check_works(LANDLOCK, error))

    def test_no_keyrings(self):
        """Docker's profile refuses all three; a kernel without CONFIG_KEYS has none of them."""
        for error in ("EPERM", "ENOSYS"):
            with self.subTest(error):
                self.assertNotIn("keyring", self.check_works("keyctl,add_key,request_key", error))

    def check_explained(self, calls, error, text):
        manager = self.begin(calls, error)
        manager.wait_for_log(text)
        self.assertEqual(list(manager.module_pids()), [])
        manager.stop(signal.SIGTERM)

    def test_keyrings_that_only_cannot_be_left(self):
        """What is the launcher's would be within reach."""
        self.check_explained("keyctl", "EPERM", "could not join a new session keyring: Operation not permitted (EPERM); "
                             "whoever started Belay filters keyctl(2) but not add_key(2) or request_key(2)")

    def test_processes_that_cannot_be_made(self):
        self.check_explained("clone3", "EPERM", "clone3(2) is refused by a filter")

    def test_programs_that_cannot_be_executed(self):
        self.check_explained("execveat", "EPERM", "execveat(2) is refused by a filter")


if __name__ == "__main__":
    harness.main()
