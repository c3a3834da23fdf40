# SPDX-License-Identifier: Apache-2.0
"""A developer's laptop: the same manager, started by an ordinary user. The tests need root only to become that user."""

import os
import signal

import harness
from harness import START, STOP, Prefix, groups_of, status_of
from mqtt import Broker

SETS = ["CapInh", "CapPrm", "CapEff", "CapAmb"]


class WithoutRoot(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.observer = self.broker.observe()

    def start_as_everest(self, config, *options):
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LD_LIBRARY_PATH": "/nonexistent",
                       "SSH_AUTH_SOCK": "/nonexistent"}
        return self.start(self.prefix, config, *options, user=self.everest, environment=environment)

    def test_start_and_stop(self):
        config = self.prefix.configure({"one": "Thing", "two": "Thing"}, **self.broker.settings)
        os.chown(config.parent, self.everest.pw_uid, self.everest.pw_gid)  # a developer's own: changes can be stored
        manager = self.start_as_everest(config)
        manager.wait_for("ALL_MODULES_STARTED")
        for module in ("one", "two"):
            report = self.observer.report(module)
            self.check_identity(report["status"])
            # What the starter has, a developer's program may see.
            self.assertEqual(report["environment"],
                             {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LD_LIBRARY_PATH": "/nonexistent"})
            self.assertEqual(set(report["descriptors"]), {"0", "1", "2"})
            self.assertEqual(report["cwd"], os.getcwd())
            self.assertEqual(report["pdeathsig"], signal.SIGKILL)
            self.assertEqual([name for name, error in report["attempts"].items() if error == 0], ["run_own_program"])
        self.check_identity(status_of(manager.manager_pid()))
        self.check_identity(status_of(manager.pid))
        self.assertEqual(manager.stop(), 0, manager)
        self.assertEqual(manager.status(), START + STOP)
        self.assertNotIn("warning", manager.log)
        self.assert_nothing_left(manager, self.broker)

    def test_database(self):
        config = self.prefix.configure({"one": "Thing"}, **self.broker.settings)
        directory = self.scratch / "data"
        directory.mkdir()
        os.chown(directory, self.everest.pw_uid, self.everest.pw_gid)
        for text in ("is put into the database", "the modules are those of the database"):
            manager = self.start_as_everest(config, "--db", directory / "everest.db")
            manager.wait_for("ALL_MODULES_STARTED").wait_for_log(text)
            self.assertEqual(manager.stop(), 0, manager)

    def check_identity(self, status):
        self.assertEqual(status["Uid"].split(), [str(self.everest.pw_uid)] * 4)
        self.assertEqual(sorted(map(int, status["Groups"].split())), groups_of(self.everest))
        self.assertEqual([int(status[name], 16) for name in SETS], [0] * len(SETS))
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def test_declared_capability(self):
        sniffer = {"module": "Thing", "capabilities": ["CAP_NET_RAW"]}
        config = self.prefix.configure({"one": "Thing", "sniffer": sniffer}, **self.broker.settings)
        manager = self.start_as_everest(config)
        self.assert_refused(manager, config, "module `sniffer` asks for the capability `CAP_NET_RAW`", "cannot grant",
                            "start as root", "remove it from the module")
        self.assertEqual(manager.status(), ["MANAGER_INITIALIZING"])

    def test_other_user(self):
        config = self.prefix.configure({"one": "Thing"}, run_as_user="everest", **self.broker.settings)
        self.assert_refused(self.start_as_everest(config), config, "only root can change the user",
                            "start as root, or remove run_as_user")

    def test_own_build_tree(self):
        """The trust rule is for root; a developer's files are the developer's."""
        config = self.prefix.configure({"one": "Thing"}, **self.broker.settings)
        for directory, _, files in os.walk(self.prefix.path):
            for path in (directory, *(os.path.join(directory, file) for file in files)):
                os.chown(path, self.everest.pw_uid, self.everest.pw_gid)
        manager = self.start_as_everest(config).wait_for("ALL_MODULES_STARTED")
        self.assertEqual(manager.stop(), 0, manager)

    def test_module_killed(self):
        manager = self.start_as_everest(self.prefix.configure({"one": "Thing", "two": "Thing"}, **self.broker.settings))
        manager.wait_for("ALL_MODULES_STARTED")
        os.kill(self.observer.report("one")["pid"], signal.SIGKILL)
        self.assertEqual(manager.wait(), 1, manager)
        self.assert_nothing_left(manager, self.broker)

    def test_launcher_killed(self):
        manager = self.start_as_everest(self.prefix.configure({"one": "Thing", "two": "Thing"}, **self.broker.settings))
        manager.wait_for("ALL_MODULES_STARTED")
        manager.send(signal.SIGKILL)
        manager.wait()
        harness.wait_until(lambda: not self.prefix.processes(), "the end of manager and modules", 10)


if __name__ == "__main__":
    harness.main()
