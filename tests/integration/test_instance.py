# SPDX-License-Identifier: Apache-2.0
"""A second manager for the same prefix of the same broker, by mistake."""

import os
import pathlib
import signal

import harness
from harness import START, Prefix
from mqtt import Broker

DIRECTORY = pathlib.Path("/run/everest")


class Instance(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)

    def configure(self):
        return self.prefix.configure({"one": "Thing"}, run_as_user="everest", **self.broker.settings)

    def begin(self, *options):
        return self.start(self.prefix, self.configure(), *options).wait_for("ALL_MODULES_STARTED")

    def assert_second_is_refused(self, first, second):
        self.assertEqual(second.wait(), 1, second)
        self.assertIn(f"another manager, pid {first.pid}, serves the prefix `everest/` of the MQTT broker at", second.log)
        self.assertEqual(second.status(), START[:1])
        self.assertEqual(first.status(), START, first)

    def test_second(self):
        first = self.begin()
        self.assert_second_is_refused(first, self.start(self.prefix, self.configure()))
        self.assertEqual(first.stop(), 0)
        self.assertEqual(self.begin().stop(), 0)

    def test_another_configuration_of_another_installation(self):
        """What it is about is the broker."""
        first = self.begin()
        other = Prefix.small(self.scratch / "other")
        alias = self.scratch / "alias"
        alias.symlink_to(self.broker.directory)
        config = other.configure({"two": "Thing"}, run_as_user="everest",
                                 mqtt_broker_socket_path=str(alias / self.broker.socket.name))
        self.assert_second_is_refused(first, self.start(other, config))

    def test_by_tcp(self):
        broker = Broker(self, "tcp", tcp=True)
        first = self.start_at(broker, "127.0.0.1").wait_for("ALL_MODULES_STARTED")
        self.assert_second_is_refused(first, self.start_at(broker, "localhost"))

    def start_at(self, broker, host):
        config = self.prefix.configure({"one": "Thing"}, run_as_user="everest", mqtt_broker_host=host,
                                       mqtt_broker_port=broker.port)
        return self.start(self.prefix, config)

    def test_another_prefix_or_broker(self):
        first = self.begin()
        second = self.begin("--mqtt_everest_prefix", "everest2")
        self.broker = Broker(self, "another")
        third = self.begin()
        for manager in (first, second, third):
            self.assertEqual(manager.stop(), 0, manager)

    def test_after_a_kill(self):
        """The claim ends with the launcher, however that ends."""
        first = self.begin()
        first.send(signal.SIGKILL)
        first.wait()
        self.assertEqual(self.begin().stop(), 0)

    def test_reload_keeps_the_claim(self):
        first = self.begin()
        first.send(signal.SIGHUP)
        harness.wait_until(lambda: first.log.count("all modules ready in") == 2, lambda: str(first))
        second = self.start(self.prefix, self.configure())
        self.assertEqual(second.wait(), 1, second)
        self.assertIn(f"another manager, pid {first.pid},", second.log)

    def test_check_does_not_mind(self):
        self.begin()
        self.assertEqual(self.start(self.prefix, self.configure(), "--check").wait(), 0)

    def test_as_a_user(self):
        config = self.prefix.configure({"one": "Thing"}, **self.broker.settings)
        first = self.start(self.prefix, config, user=self.everest).wait_for("ALL_MODULES_STARTED")
        self.assert_second_is_refused(first, self.start(self.prefix, config, user=self.everest))

    def in_a_namespace(self, command):
        """bin/manager, after `command` in mounts of its own."""
        self.prefix.install(harness.MANAGER, "bin/real")
        self.prefix.write("bin/manager", f"#!/bin/sh\nset -e\n[ -n \"$INSIDE\" ] || INSIDE=yes exec unshare --mount \"$0\" "
                          f"\"$@\"\n{command}\nexec {self.prefix.path}/bin/real \"$@\"\n", 0o755)

    def test_unwritable_directory(self):
        """A warning is enough: the charger is worth more."""
        DIRECTORY.mkdir(exist_ok=True)
        self.in_a_namespace(f"mount -t tmpfs -o ro,mode=755 tmpfs {DIRECTORY}")
        manager = self.begin()
        self.assertIn("warning: a second manager for the same broker and prefix would not be noticed: "
                      f"{DIRECTORY}/instances: Read-only file system", manager.log)
        self.assertIn("RuntimeDirectory=everest", manager.log)
        self.assertEqual(manager.stop(), 0)

    def test_a_directory_of_somebody_else(self):
        DIRECTORY.mkdir(exist_ok=True)
        self.in_a_namespace(f"mount -t tmpfs -o mode=777 tmpfs {DIRECTORY}")
        manager = self.begin()
        self.assertIn(f"would not be noticed: {DIRECTORY}: others can change it", manager.log)
        self.assertEqual(manager.stop(), 0)

    def test_nobody_else_can_claim(self):
        """To lock a file takes no more than to read it."""
        self.begin()
        status = os.stat(DIRECTORY / "instances")
        self.assertEqual((status.st_uid, status.st_mode & 0o7777), (0, 0o600))


if __name__ == "__main__":
    harness.main()
