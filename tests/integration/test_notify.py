# SPDX-License-Identifier: Apache-2.0
"""What systemd hears from the main process, and from nobody else: the whole charger at a socket of our own."""

import os
import re
import signal
import time

import harness
from harness import Prefix
from mqtt import Broker
from notifications import Notifications

MODULES = {"store": "Thing", "example": "Thing"}
EXTENDED = "\nEXTEND_TIMEOUT_USEC=30000000"
CONFIGURATION_ERROR = 78  # EX_CONFIG: the unit is not started again


class Notify(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.systemd = Notifications(self.scratch / "notify")
        self.addCleanup(self.systemd.close)

    def begin(self, *options, modules=MODULES, belay=None):
        if belay:
            self.prefix.write("etc/everest/belay.yaml", belay)
        config = self.prefix.configure(modules, run_as_user="everest", **self.broker.settings)
        environment = {**harness.Manager.environment, "NOTIFY_SOCKET": str(self.systemd.path)}
        self.manager = self.start(self.prefix, config, *options, environment=environment)
        return self.manager

    def begin_and_wait(self, *options, **more):
        self.begin(*options, **more)
        self.systemd.wait("READY=1")
        self.systemd.wait("STATUS=All 2 modules are ready")
        return len(self.texts())

    def texts(self, since=0):
        return [text for _, text in self.systemd.messages()][since:]

    def extensions(self, texts):
        return [int(number) for text in texts for number in re.findall(r"^EXTEND_TIMEOUT_USEC=(\d+)$", text, re.M)]

    def check_end(self, code=0):
        self.assertEqual(self.manager.wait(), code, self.manager)
        self.assertEqual({pid for pid, _ in self.systemd.messages()}, {self.manager.pid})

    def test_start_and_stop(self):
        before = self.begin_and_wait()
        texts = self.texts()
        self.assertEqual(texts[0], f"STATUS=Waiting for the MQTT broker at the Unix socket {self.broker.socket}" + EXTENDED)
        self.assertEqual(texts[1], "STATUS=0 of 2 ready, waiting for example, store" + EXTENDED)
        self.assertEqual(texts[-2:], ["READY=1", "STATUS=All 2 modules are ready"])
        self.assertEqual(texts.count("READY=1"), 1)
        self.manager.send(signal.SIGTERM)
        self.check_end()
        texts = self.texts(before)
        self.assertEqual(texts[0], "STOPPING=1")
        self.assertIn("STATUS=Stopping: 2 modules still to end", texts)
        self.assertEqual(texts[-2:-1], ["STATUS=Stopped"])
        # Four times the longest shutdown timeout for the manager, twice for the launcher, and a margin.
        self.assertEqual(self.extensions(texts)[0], 35_000_000)

    def test_a_slow_module(self):
        """Who waits for it is not given up: systemd hears every ten seconds that all is well."""
        self.prefix.behave(store={"never_ready": True})
        self.begin()
        waiting = "STATUS=1 of 2 ready, waiting for store"
        self.assertEqual(self.systemd.wait(waiting), waiting + EXTENDED)
        first = time.monotonic()
        self.systemd.wait(waiting, 2)
        self.assertGreater(time.monotonic() - first, 8)
        self.assertNotIn("READY=1", self.texts())
        self.manager.send(signal.SIGTERM)
        self.check_end()

    def test_no_broker(self):
        self.broker.kill()
        os.unlink(self.broker.socket)
        self.begin(belay="broker: {connect_timeout: 1}")
        self.check_end(1)
        self.assertTrue(self.texts()[0].startswith("STATUS=Waiting for the MQTT broker at the Unix socket"))
        self.assertRegex("\n".join(self.texts()), "STATUS=no connection to the MQTT broker at the Unix socket .*: ")

    def test_idle(self):
        self.begin("--into-idle")
        self.systemd.wait("READY=1")
        self.systemd.wait("STATUS=Idle: no module is started")
        self.manager.send(signal.SIGTERM)
        self.check_end()

    def test_idle_after_a_failure(self):
        """Whoever is told that it stops ends it a little later."""
        policy = "{restart: {policy: on-failure, scope: all, delay: 0.1, burst: 1}}"
        before = self.begin_and_wait("--idle-on-failure", belay="modules: {'*': " + policy + "}")
        os.kill(self.manager.module_pids()["example"], signal.SIGKILL)
        self.systemd.wait("STATUS=All 2 modules are ready", 2)
        os.kill(self.manager.module_pids()["example"], signal.SIGKILL)
        self.systemd.wait("STATUS=Idle: no module is started")
        self.systemd.wait("READY=1", 2)
        self.assertNotIn("STOPPING=1", self.texts(before))
        self.manager.send(signal.SIGTERM)
        self.check_end()

    def test_reload(self):
        before = self.begin_and_wait()
        earliest = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.manager.send(signal.SIGHUP)
        self.systemd.wait("READY=1", 2)
        self.systemd.wait("STATUS=All 2 modules are ready", 2)
        texts = self.texts(before)
        self.assertTrue(texts[0].startswith("RELOADING=1\nMONOTONIC_USEC="), texts)
        at = int(texts[0].partition("MONOTONIC_USEC=")[2])
        self.assertGreaterEqual(at, earliest)
        self.assertLess(at, earliest + 10_000_000)
        self.assertEqual(self.extensions(texts)[0], 35_000_000)  # until all are stopped
        self.assertIn("STATUS=Reloading: 2 modules still to end" + EXTENDED, texts)
        self.assertIn("STATUS=0 of 2 ready, waiting for example, store" + EXTENDED, texts)
        self.assertEqual(texts[-2:], ["READY=1", "STATUS=All 2 modules are ready"])
        self.assertNotIn("STOPPING=1", texts)
        self.manager.send(signal.SIGTERM)
        self.check_end()

    def test_a_reload_that_is_refused(self):
        """`systemctl reload` does not wait for what will not come."""
        before = self.begin_and_wait()
        self.prefix.write("etc/everest/charger.yaml", "active_modules: {store: {module: Nothing}}")
        self.manager.send(signal.SIGHUP)
        self.systemd.wait("STATUS=The reload was refused, see the log")
        texts = self.texts(before)
        self.assertEqual([text.partition("=")[0] for text in texts], ["RELOADING", "READY", "STATUS"])
        self.manager.send(signal.SIGTERM)
        self.check_end()

    def test_a_reload_that_becomes_a_stop(self):
        before = self.begin_and_wait(belay="modules: {'*': {shutdown: {timeout: 20}}}")
        hung = self.manager.module_pids()["example"]
        os.kill(hung, signal.SIGSTOP)
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for("MANAGER_FORCE_TERMINATING")
        self.manager.send(signal.SIGTERM)
        self.systemd.wait("STATUS=Stopping: 1 module still to end")
        os.kill(hung, signal.SIGCONT)
        self.check_end()
        self.assertIn("STOPPING=1", self.texts(before))
        self.assertEqual(self.texts(before).count("READY=1"), 0)

    def test_a_long_shutdown_timeout(self):
        """The unit's TimeoutStopSec= need not know of it."""
        before = self.begin_and_wait(belay="modules: {Thing: {shutdown: {timeout: 100}}}")
        self.manager.send(signal.SIGTERM)
        self.check_end()
        self.assertEqual(self.extensions(self.texts(before))[0], 605_000_000)

    def test_a_module_that_ends(self):
        before = self.begin_and_wait()
        os.kill(self.manager.module_pids()["store"], signal.SIGKILL)
        self.check_end(1)
        texts = self.texts(before)
        self.assertEqual(texts[0], "STOPPING=1")
        self.assertIn("STATUS=store ended: killed by SIGKILL (9); stopping all: 1 module still to end", texts)
        self.assertEqual(texts[-2], "STATUS=store ended: killed by SIGKILL (9)")
        self.assertEqual(self.extensions(texts)[0], 35_000_000)

    def test_a_module_that_comes_back(self):
        before = self.begin_and_wait(belay="modules: {store: {restart: {policy: always, delay: 0}}}")
        os.kill(self.manager.module_pids()["store"], signal.SIGKILL)
        self.systemd.wait("STATUS=All 2 modules are ready", 2)
        # It is ready, and may take its time: systemd is not asked for more.
        self.assertIn("STATUS=1 of 2 ready, waiting for store", self.texts(before))
        self.assertEqual(self.extensions(self.texts(before)), [])
        self.manager.send(signal.SIGTERM)
        self.check_end()

    def test_a_manager_that_dies(self):
        """The launcher speaks for itself."""
        before = self.begin_and_wait()
        os.kill(self.manager.manager_pid(), signal.SIGKILL)
        self.check_end(1)
        texts = self.texts(before)
        self.assertEqual(texts[:2], ["STOPPING=1", "STATUS=The manager ended; stopping all modules"])
        self.assertEqual(self.extensions(texts)[0], 20_000_000)

    def test_a_wrong_configuration(self):
        self.begin(modules={"store": "Nothing"})
        self.check_end(CONFIGURATION_ERROR)
        [text] = self.texts()
        self.assertRegex(text, r"^STATUS=the configuration is invalid: 1 error; charger\.yaml:\d+: the module `Nothing` is ")

    def test_a_wrong_value_of_others(self):
        """Who may write the overlay cannot end the service for good."""
        directory = self.prefix.configs / "user-config"
        directory.mkdir()
        os.chown(directory, self.everest.pw_uid, self.everest.pw_gid)
        for text in ("active_modules: {x: {}}", "active_modules: {store: {config_module: {level: high}}}"):
            with self.subTest(text=text):
                (directory / "charger.yaml").write_text(text)
                before = len(self.texts())
                self.assertEqual(self.begin().wait(), 1)
                [status] = self.texts(before)
                self.assertRegex(status, r"^STATUS=the configuration is invalid: 1 error; charger\.yaml:1: ")

    def test_a_wrong_command_line(self):
        """In /etc/default/everest, for example."""
        self.begin("--recover-module-crash")
        self.check_end(CONFIGURATION_ERROR)
        mistake = "unknown option `--recover-module-crash`; did you mean `--recover-module-crashes`?; see --help"
        self.assertEqual(self.texts(), [f"STATUS={mistake}"])
        self.assertEqual(self.manager.log, f"manager: {mistake}\n")

    def test_a_user_that_is_missing(self):
        self.begin(belay="manager: {user: nobody-of-that-name}")
        self.check_end(CONFIGURATION_ERROR)
        self.assertRegex(self.texts()[-1], "^STATUS=nothing was started: 1 error; belay.yaml:1: .*nobody-of-that-name")

    def test_a_file_that_others_can_write(self):
        os.chmod(self.prefix.path / "bin/manager", 0o777)
        self.begin()
        self.check_end(CONFIGURATION_ERROR)
        self.assertTrue(self.texts()[0].startswith("STATUS=nothing was started: with run_as_user, only files"))

    def test_without_systemd_a_wrong_configuration_is_as_under_everest(self):
        config = self.prefix.configure({"store": "Nothing"}, **self.broker.settings)
        self.manager = self.start(self.prefix, config)
        self.assertEqual(self.manager.wait(), 1)


if __name__ == "__main__":
    harness.main()
