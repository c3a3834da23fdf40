# SPDX-License-Identifier: Apache-2.0
"""A charger that fails again and again is started again for ever, each time later, as far as this systemd can do that."""

import json
import signal

import charger
from box import Service, wait_until

SECOND = "everest@second.service"
BUS = ("busctl", "get-property", "org.freedesktop.systemd1",
       "/org/freedesktop/systemd1/unit/everest_40second_2eservice", "org.freedesktop.systemd1.Service")
# sd-messages.h: SD_MESSAGE_UNIT_FAILURE_RESULT, SD_MESSAGE_UNIT_RESTART_SCHEDULED.
FAILED, SCHEDULED = "d9b373ed55a64feb8242e02dbe79a49c", "5eb03494b6584870a536b337290809b3"
SHORTER = 4  # delays than those of the unit, in the same ratio
ENOUGH = 8  # restarts; without StartLimitIntervalSec=0, systemd gives up earlier
LATE = 2  # seconds that a restart may be later than it is due


class RestartDelay(charger.RunningCase):
    def setUp(self):
        """A second charger for the same prefix, which is refused until there is room."""
        super().setUp()
        self.box.write("/etc/everest/second.yaml", self.box.read(charger.CONFIG))
        self.second = Service(self.box, SECOND)
        self.addCleanup(self.everest.systemctl, "restart")
        self.addCleanup(self.second.systemctl, "stop")
        self.first_delay, self.steps, self.last_delay = map(self.number,
                                                            ("RestartUSec", "RestartSteps", "RestartMaxDelayUSec"))
        self.assertNotEqual(self.steps, 0, "this systemd could let the delay grow")
        shorter = [f"RestartSec={self.first_delay // SHORTER}us"]
        if self.steps:
            shorter.append(f"RestartMaxDelaySec={self.last_delay // SHORTER}us")
        self.box.write(f"/etc/systemd/system/{SECOND}.d/test.conf", "\n".join(["[Service]", *shorter, ""]))
        self.box.run("systemctl", "daemon-reload")

    def number(self, name):
        """A property of the unit; None if this systemd, older than 254, does not have it."""
        text = self.box.output(*BUS, name, check=False)
        return int(text.split()[1]) if text else None

    def expected(self, restart):
        """Seconds before the first restart (1) and those after it, as systemd.service(5) has it."""
        delay = self.first_delay
        if self.steps:
            delay *= (self.last_delay / self.first_delay) ** (min(restart - 1, self.steps) / self.steps)
        return delay / SHORTER / 1e6

    def messages(self, kind):
        text = self.box.output("journalctl", "--no-pager", "--output=json", f"UNIT={SECOND}", f"MESSAGE_ID={kind}")
        return [int(json.loads(line)["__MONOTONIC_TIMESTAMP"]) / 1e6 for line in text.splitlines()]

    def delays(self):
        """From each failure to the restart after it; a failure that waits for its restart still is not among them."""
        return [restart - failure for failure, restart in zip(self.messages(FAILED), self.messages(SCHEDULED))]

    def assert_delay(self, measured, expected):
        self.assertGreater(measured, expected - 0.01, self.second.describe())
        self.assertLess(measured, expected + LATE, self.second.describe())

    def delay_after_a_crash(self):
        before = len(self.delays())
        self.box.run("kill", f"-{int(signal.SIGKILL)}", str(self.second.main_pid()))
        wait_until(lambda: len(self.delays()) > before, self.second.describe)
        self.second.wait_for("active")
        return self.delays()[before]

    def test_it_grows_and_what_begins_it_anew(self):
        self.assertNotEqual(self.second.systemctl("start", check=False).returncode, 0)
        wait_until(lambda: len(self.delays()) >= ENOUGH, self.second.describe)
        for restart, measured in enumerate(self.delays(), start=1):
            with self.subTest(restart=restart):
                self.assert_delay(measured, self.expected(restart))
        self.assertNotEqual(self.second.get("ActiveState"), "failed")

        self.everest.systemctl("stop")
        self.second.wait_for("active")
        # A start that held is no reason for systemd to forget those that did not,
        self.assert_delay(self.delay_after_a_crash(), self.expected(ENOUGH))
        # but this is,
        self.second.systemctl("reset-failed")
        self.assertEqual(self.second.get("ActiveState"), "active")
        self.assert_delay(self.delay_after_a_crash(), self.expected(1))
        # and so is a restart by hand.
        self.assertEqual(self.second.get("NRestarts"), "1")
        self.second.systemctl("restart")
        self.assertEqual(self.second.get("NRestarts"), "0")


if __name__ == "__main__":
    charger.main()
