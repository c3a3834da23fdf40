# SPDX-License-Identifier: Apache-2.0
"""A broker whose answers wait for delayed acknowledgements is named, once, with what to change; no other one is."""

import os
import signal
import subprocess
import time

import harness
from harness import Prefix, wait_until
from mqtt import Broker

DELAYED = "the MQTT broker's answers wait for delayed acknowledgements"
QUESTIONS = 5  # that have to be answered without delay until the manager is content


class RoundTrips(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")

    def start_charger(self, broker):
        config = self.prefix.configure({f"m{i}": "Thing" for i in range(8)}, run_as_user="everest", **broker.settings)
        return self.start(self.prefix, config).wait_for("ALL_MODULES_STARTED")

    def burden(self):
        """Twice as many busy processes as there are cores."""
        for _ in range(2 * len(os.sched_getaffinity(0))):
            busy = subprocess.Popen(["/usr/bin/python3", "-c", "while True: pass"])
            self.addCleanup(busy.wait)
            self.addCleanup(busy.kill)

    @staticmethod
    def questions(broker):
        """How many the manager has asked, to find out."""
        return sum("everest/round_trip" in line for line in broker.log.read_text().splitlines())

    def check_silence(self, **options):
        broker = Broker(self, log=["unsubscribe"], **options)
        manager = self.start_charger(broker)
        if options:
            wait_until(lambda: self.questions(broker) >= QUESTIONS, "the manager to find out")
        # It says goodbye only when all is answered.
        self.assertEqual(manager.stop(), 0, manager)
        self.assertNotIn("delayed acknowledgements", manager.log)
        return self.questions(broker)

    def test_delayed(self):
        manager = self.start_charger(Broker(self, tcp=True, nodelay=False))
        manager.wait_for_log(DELAYED)
        self.assertRegex(manager.log, DELAYED + r", ([3-7]\d|80) ms each time")
        for remedy in ("`set_tcp_nodelay true` into mosquitto.conf", "mqtt_broker_socket_path"):
            self.assertIn(remedy, manager.log)
        self.assertEqual(manager.stop(), 0, manager)
        self.assertEqual(manager.log.count("delayed acknowledgements"), 1)

    def test_no_delay(self):
        self.assertEqual(self.check_silence(tcp=True), QUESTIONS)

    def test_socket(self):
        self.assertEqual(self.check_silence(), 0)

    def test_busy_machine(self):
        self.burden()
        self.check_silence(tcp=True)

    def test_slow_start(self):
        """A broker that does nothing for a while, several times, is slow, but not in this way."""
        broker = Broker(self, tcp=True)
        config = self.prefix.configure({"one": "Thing"}, run_as_user="everest", **broker.settings)
        broker.suspend()
        manager = self.start(self.prefix, config)
        time.sleep(0.1)
        broker.process.send_signal(signal.SIGCONT)
        manager.wait_for("ALL_MODULES_STARTED")
        self.assertNotIn("delayed acknowledgements", manager.log)
        self.assertEqual(manager.stop(), 0, manager)


if __name__ == "__main__":
    harness.main()
