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


if __name__ == "__main__":
    harness.main()
