# SPDX-License-Identifier: Apache-2.0
"""A file that is replaced between check and start, as fast as it can be: what runs is what was checked, or nothing."""

import os
import subprocess
import time

from attack_case import AttackCase
from charger import HOSTILE, as_everest
from table import Row, Table
from world import HOME, UID

ENOUGH = 3  # starts that were refused, and as many that were not
PATIENCE_S = 15


class Swap(AttackCase):
    def test_executable(self):
        table = Table("An executable that is swapped in a tight loop")
        mark = HOME / "swapped"
        self.charger.tell(plain={"mark": str(mark)})
        path = self.prefix.modules / "Plain/Plain"
        other = self.prefix.install(HOSTILE, "libexec/everest/modules/Plain/Other")
        os.chown(other, UID, UID)
        as_everest([other, "--prefix", self.prefix.path, "--module", "plain", "--mqtt_broker_host", "x",
                    "--mqtt_broker_port", "1"])
        control = "user" if mark.exists() else "-"
        mark.unlink(missing_ok=True)

        config = self.prefix.configure({"plain": "Plain"}, run_as_user="everest", **self.broker.settings)
        with subprocess.Popen([HOSTILE, "--swap", path, other]) as swapper:
            refused, started = self.start_often(config)
            swapper.kill()
        outcome = "escaped" if mark.exists() else "no effect"
        note = f"{refused} starts refused, {started} not"
        if min(refused, started) < ENOUGH:
            outcome = "unjudged"
        table.add(Row("swap", "another file, in a tight loop", outcome, note=note, control=control))
        self.finish(table)

    def start_often(self, config):
        refused = started = 0
        deadline = time.monotonic() + PATIENCE_S
        while min(refused, started) < ENOUGH and time.monotonic() < deadline:
            manager = self.start(self.prefix, config)
            while "ALL_MODULES_STARTED" not in manager.status() and manager.process.poll() is None:
                time.sleep(0.01)
            if manager.process.poll() is None:
                started += 1
                self.assertEqual(manager.stop(), 0, manager)
            else:
                refused += 1
                self.assertIn(f"belongs to uid {UID}, not to root", manager.log)
        return refused, started
