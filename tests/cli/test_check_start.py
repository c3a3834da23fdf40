# SPDX-License-Identifier: Apache-2.0
"""What keeps a start from succeeding on this machine: a warning of --check, an error of --check-start."""

import os
import subprocess
import unittest

from manager import CONFIG, MANAGER, MODULE, ROOT, TIMEOUT, VALID, WithPrefix, manager

NOBODY = 65534
AS_USER = "settings: {run_as_user: daemon}\n" + VALID.split("\n", 1)[1]
CAP_NET_ADMIN, CAP_NET_RAW = 12, 13


class Case(WithPrefix):
    def setUp(self):
        super().setUp()
        self.belay = self.prefix.path / "etc/everest/belay.yaml"
        self.program = self.prefix.path / MODULE / "Thing"

    def start(self, *prefix, check="--check-start", environment=None):
        return subprocess.run([*prefix, MANAGER, "--prefix", self.prefix.path, "--config", self.prefix.config, check],
                              env={"PATH": os.environ["PATH"], **(environment or {})}, capture_output=True, text=True,
                              timeout=TIMEOUT, check=False)

    def last_line(self, done):
        return done.stderr.splitlines()[-1]

    def has_reasons(self, count, *texts, prefix=(), environment=None):
        """Both checks say the same, and only one of them fails."""
        reasons = f"valid, but would not start here: {count} reason{'s' if count > 1 else ''}: "
        for check, code, severity in (("--check", 0, "warning: "), ("--check-start", 1, "error: ")):
            done = self.start(*prefix, check=check, environment=environment)
            with self.subTest(check):
                self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
                self.assertIn(reasons, self.last_line(done))
                for text in texts:
                    self.assertIn(severity + text, done.stderr)
        self.assertFalse(self.prefix.dump.exists())


class Reasons(Case):
    def test_none(self):
        for check in ("--check", "--check-start"):
            done = self.start(check=check)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("c.yaml: valid: 1 module, ", self.last_line(done))

    def test_the_default_configuration(self):
        self.prefix.write("etc/everest/default.yaml", VALID)
        done = manager("--prefix", self.prefix.path, "--check-start")
        self.accepted(done, "default.yaml: valid: 1 module, ")

    def test_a_mistake_is_one_everywhere(self):
        self.prefix.write(CONFIG, VALID.replace("level: 2", "level: 0"))
        done = self.start()
        self.refused(done, "c.yaml:3:45: error: ", "the configuration is invalid: 1 error")

    def test_program_that_cannot_be_executed(self):
        self.program.chmod(0o644)
        self.has_reasons(1, "module `a` cannot be started: ")

    @unittest.skipIf(ROOT, "is for who is not root")
    def test_a_user_without_root(self):
        self.prefix.write(CONFIG, AS_USER)
        done = self.start()
        self.refused(done, "error: run_as_user is set, but only root can change the user")

    @unittest.skipUnless(ROOT, "needs root to be somebody else")
    def test_who_is_not_root(self):
        self.prefix.write(CONFIG, VALID.replace("level: 2}", "level: 2}, capabilities: [CAP_NET_RAW]"))
        user = ("setpriv", "--reuid", "daemon", "--regid", "daemon", "--clear-groups")
        done = self.start(*user, check="--check")
        self.accepted(done, "declares capabilities, which only root can grant, and without run_as_user it would be root",
                      "c.yaml: valid: 1 module, ")
        self.assertNotIn("stays root", done.stderr)
        self.refused(self.start(*user), "error: module `a` asks for the capability `CAP_NET_RAW`, which this process does "
                                        "not hold")


@unittest.skipUnless(ROOT, "needs root, which can start modules as somebody else")
class ReasonsOfRoot(Case):
    def without(self, *numbers):
        """Of the bounding set, as a unit has it."""
        return ("setpriv", "--bounding-set", ",".join(f"-cap_{number}" for number in numbers), "--inh-caps=-all")

    def test_missing_user(self):
        self.prefix.write(CONFIG, AS_USER.replace("daemon", "no-such-user"))
        self.has_reasons(1, "the user `no-such-user` does not exist")
        self.prefix.write(CONFIG, AS_USER)
        self.belay.write_text("modules: {a: {user: nosuch, groups: [nogrp]}}\n")
        self.has_reasons(2, "the user `nosuch` does not exist", "the group `nogrp` does not exist")

    def test_all_at_once(self):
        self.prefix.write(CONFIG, AS_USER.replace("daemon", "no-such-user")).chmod(0o666)
        self.has_reasons(2, "the user `no-such-user` does not exist", f"{self.prefix.config}: can be written by others")

    def test_files_of_others(self):
        self.prefix.write(CONFIG, AS_USER)
        self.prefix.config.chmod(0o666)
        self.has_reasons(1, f"{self.prefix.config}: can be written by others")

    def test_directory_that_the_user_does_not_enter(self):
        self.prefix.write(CONFIG, AS_USER)
        self.prefix.path.chmod(0o700)
        self.has_reasons(1, f"what is to be executed for `a`: the user daemon does not reach it: {self.prefix.path} has "
                            "mode 0700 drwx------ and belongs to root:root; chmod o+rX ")

    def test_script_that_the_user_does_not_read(self):
        self.prefix.write(CONFIG, AS_USER)
        self.program.unlink()
        script = self.prefix.write(f"{MODULE}/module.py", "")
        script.chmod(0o640)
        self.has_reasons(1, f"what is to be executed for `a`: the user daemon does not reach it: {script} has mode 0640")

    def test_missing_watchdog(self):
        self.belay.write_text("watchdog: {device: /dev/no-such-watchdog}\n")
        self.has_reasons(1, "the watchdog /dev/no-such-watchdog: it is not there")
        self.belay.write_text("watchdog: {device: /dev/no-such-watchdog, require: false}\n")
        self.assertEqual(self.start().returncode, 0)

    def test_capability_that_is_not_held(self):
        self.prefix.write(CONFIG, AS_USER.replace("level: 2}", "level: 2}, capabilities: [CAP_NET_RAW]"))
        self.has_reasons(1, "module `a` asks for the capability `CAP_NET_RAW`, which this process does not hold",
                         prefix=self.without(CAP_NET_RAW))

    def test_capability_that_the_launcher_lacks(self):
        self.prefix.write(CONFIG, AS_USER.replace("daemon", "daemon, mqtt_broker_socket_path: /run/b"))
        schema = self.prefix.path / "share/everest/schemas/config.yaml"
        schema.write_text(schema.read_text().replace("mqtt_broker_port: {type: integer}",
                                                     "mqtt_broker_socket_path: {type: string}"))
        self.belay.write_text("modules: {a: {sandbox: {network: loopback}}}\n")
        self.assertEqual(self.start().returncode, 0)
        self.has_reasons(1, "this configuration takes CAP_NET_ADMIN for `a`, which this process does not hold",
                         prefix=self.without(CAP_NET_ADMIN))

    def test_reload_of_a_launcher_that_has_given_it_up(self):
        """systemd names the launcher; of a unit that never had it, a restart is not the remedy."""
        self.prefix.write(CONFIG, AS_USER.replace("level: 2}", "level: 2}, capabilities: [CAP_NET_RAW]"))
        launcher = subprocess.Popen([*self.without(CAP_NET_RAW), "sleep", str(TIMEOUT)])
        self.addCleanup(launcher.wait)
        self.addCleanup(launcher.kill)
        environment = {"MAINPID": str(launcher.pid)}
        while os.readlink(f"/proc/{launcher.pid}/exe") != os.path.realpath("/bin/sleep"):
            os.sched_yield()
        self.refused(self.start(environment=environment), "CAP_NET_RAW", "restart instead of reloading")
        never = self.start(*self.without(CAP_NET_RAW), environment=environment)
        self.refused(never, "CapabilityBoundingSet=")
        self.assertNotIn("restart instead", never.stderr)
        self.assertEqual(self.start(check="--check", environment=environment).returncode, 0)


if __name__ == "__main__":
    unittest.main()
