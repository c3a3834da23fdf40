# SPDX-License-Identifier: Apache-2.0
"""What systemd and the charger tell each other: how long things take, and what is waited for."""

import re
import signal

import charger
from charger import CONFIG, MODULES, wait_until

LEFT = "everest@left.service"
METER = "/usr/libexec/everest/modules/EnergyMeter/EnergyMeter"


class Unit(charger.RunningCase):
    def stop_process(self, pid):
        """SIGSTOP."""
        self.box.run("kill", f"-{int(signal.SIGSTOP)}", str(pid))

    def messages(self, text):
        return [line for line in self.everest.journal().splitlines() if text in line]

    def test_a_reload_ends_when_all_modules_are_ready(self):
        main, before = self.everest.main_pid(), self.charger.modules()
        self.everest.systemctl("reload")
        after = self.charger.modules()
        self.assertEqual(set(after), MODULES)
        self.assertFalse(set(after.values()) & set(before.values()))
        self.assertEqual(self.everest.show("ActiveState", "MainPID", "StatusText"),
                         {"ActiveState": "active", "MainPID": str(main), "StatusText": "All 8 modules are ready"})

    def test_a_reload_of_a_mistake_fails_and_changes_nothing(self):
        before = self.everest.processes()
        self.rewrite(CONFIG, lambda text: text.replace("- CAP_NET_RAW", "- CAP_NET_RAV"))
        self.assertNotEqual(self.everest.systemctl("reload", check=False).returncode, 0)
        self.assertEqual(self.everest.processes(), before)
        self.assertEqual(self.everest.show("ActiveState", "SubState"), {"ActiveState": "active", "SubState": "running"})
        self.assertIn("The reload was refused", self.everest.get("StatusText"))

    def refused_reload(self, reason):
        """systemctl's own word for it, and nothing has changed."""
        before, since = self.everest.processes(), self.box.output("date", "+%s.%N")
        self.assertNotEqual(self.everest.systemctl("reload", check=False).returncode, 0, reason)
        self.assertEqual(self.everest.processes(), before)
        self.assertEqual(self.everest.show("ActiveState", "SubState"), {"ActiveState": "active", "SubState": "running"})
        wanted = (reason, "default.yaml: valid, but would not start here: ")
        wait_until(lambda: all(text in self.everest.journal(f"--since=@{since}") for text in wanted), self.everest.describe)

    def give_mode(self, name, mode):
        before = self.box.output("stat", "--format=%a", name)
        self.box.run("chmod", mode, name)
        self.addCleanup(self.box.run, "chmod", before, name)
        return before

    def test_a_reload_that_is_refused_fails(self):
        """What a start here would refuse, and what the launcher has not kept."""
        for name, mode, reason in ((CONFIG, "666", f"{CONFIG}: can be written by others"),
                                   (METER, "644", "module `meter` cannot be started"),
                                   (METER, "700", f"`meter`: the user everest does not reach it: {METER} has mode 0700")):
            before = self.give_mode(name, mode)
            self.refused_reload(reason)
            self.box.run("chmod", before, name)
        for policy, reason in (("{user: nosuch}", "the user `nosuch` does not exist"),
                               ("{sandbox: {network: loopback}}", "takes CAP_NET_ADMIN for `meter`, which this process does not"),
                               ("{sandbox: {private_tmp: true}}", "the launcher has given up CAP_SYS_ADMIN")):
            before = self.box.path(charger.POLICY).read_text()
            self.box.write(charger.POLICY, f"{before}\nmodules: {{meter: {policy}}}\n")
            try:
                self.refused_reload(reason)
            finally:
                self.box.write(charger.POLICY, before)
        self.everest.systemctl("reload")
        self.assertEqual(self.everest.get("StatusText"), "All 8 modules are ready")

    def test_a_stop_takes_as_long_as_its_modules_may(self):
        """And not as short as the unit says."""
        self.policy("modules: {meter: {shutdown: {timeout: 5}}}")
        self.drop_in("TimeoutStopSec=1")
        self.everest.systemctl("restart")
        meter = self.charger.modules()["meter"]
        self.stop_process(meter)
        self.everest.systemctl("stop")
        self.assertEqual(self.everest.show("ActiveState", "Result"), {"ActiveState": "inactive", "Result": "success"})
        wait_until(lambda: self.messages(f"meter (pid {meter}): did not end within 5.0 s of SIGTERM"), self.everest.describe)

    def test_a_manager_that_hangs_does_not_hold_up_a_stop(self):
        """The launcher stops the modules then; it has told systemd how long that takes."""
        self.drop_in("TimeoutStopSec=1", "WatchdogSec=0")
        self.everest.systemctl("restart")
        self.addCleanup(self.everest.systemctl, "restart")
        before = self.everest.processes()
        self.stop_process(self.charger.launcher_and_manager()[1])
        self.everest.systemctl("stop")
        self.assertEqual(self.charger.alive(before), [])
        self.assertNotEqual(self.everest.get("Result"), "timeout", self.everest.describe())

    def test_a_start_takes_as_long_as_what_it_waits_for(self):
        self.drop_in("TimeoutStartSec=2")
        self.everest.systemctl("stop")
        self.box.run("systemctl", "mask", "--runtime", "mosquitto.service")
        self.addCleanup(self.box.run, "systemctl", "unmask", "--runtime", "mosquitto.service")
        self.broker.systemctl("stop")
        self.box.run("systemctl", "start", "--no-block", self.everest.name)
        wait_until(lambda: "Waiting for the MQTT broker at" in self.everest.get("StatusText"), self.everest.describe)
        wait_until(lambda: len(self.messages("waiting for the MQTT broker")) > 1, self.everest.describe)  # after five seconds
        self.assertEqual(self.everest.get("ActiveState"), "activating")
        self.box.run("systemctl", "unmask", "--runtime", "mosquitto.service")
        self.broker.systemctl("start")
        self.everest.wait_for("active")
        self.assertEqual(self.everest.get("StatusText"), "All 8 modules are ready")

    def test_a_frozen_charger_goes_on(self):
        before = self.everest.processes()
        self.everest.systemctl("freeze")
        self.assertEqual(self.everest.get("FreezerState"), "frozen")
        self.everest.systemctl("thaw")
        self.everest.systemctl("reload")  # it hears and answers
        self.assertEqual(self.everest.main_pid(), min(before))
        self.assertTrue(self.charger.is_running(), self.everest.describe())

    def test_a_signal_to_all_is_no_reason_to_stay_away(self):
        main = self.everest.main_pid()
        self.everest.systemctl("kill")
        self.charger.wait_until_running(not_as=main)

    def test_a_wrong_configuration_is_not_tried_again(self):
        self.rewrite(CONFIG, lambda text: text.replace("- CAP_NET_RAW", "- CAP_NET_RAV"))
        self.everest.systemctl("restart", check=False)
        self.assertEqual(self.everest.show("ActiveState", "SubState", "ExecMainStatus"),
                         {"ActiveState": "failed", "SubState": "failed", "ExecMainStatus": "78"})
        self.assertRegex(self.everest.get("StatusText"),
                         r"^the configuration is invalid: 1 error; default\.yaml:\d+: .*`CAP_NET_RAV`")

    def test_several_chargers(self):
        """With a prefix of its own, another one runs beside; without, it is refused until there is room."""
        text = self.box.path(CONFIG).read_text()
        self.box.write("/etc/everest/left.yaml", text)
        self.addCleanup(self.box.run, "systemctl", "stop", LEFT)
        main = self.everest.main_pid()
        self.assertNotEqual(self.box.run("systemctl", "start", LEFT, check=False).returncode, 0)
        self.assertIn(f"another manager, pid {main},", self.box.output("systemctl", "show", "--property=StatusText", LEFT))
        self.box.write("/etc/everest/left.yaml", text.replace("settings:\n", "settings:\n  mqtt_everest_prefix: left\n", 1))
        self.box.run("systemctl", "restart", LEFT)
        self.assertEqual(self.box.output("systemctl", "show", "--property=StatusText", LEFT),
                         "StatusText=All 8 modules are ready")
        self.assertEqual(self.everest.main_pid(), main)
        self.box.run("systemctl", "stop", LEFT)
        steps = [self.box.path(f"/var/lib/everest{which}/watchdog-steps").read_text() for which in ("", "/left")]
        self.assertEqual(["stopped in order" in text.splitlines()[-1] for text in steps], [False, True], steps)
        self.assertTrue(self.charger.is_running())
        self.assertTrue(self.box.path("/run/everest/instances").exists())

    def test_whose_directories_are(self):
        """Also after a start, which gives root what StateDirectory= and LogsDirectory= name."""
        found = self.box.output("stat", "--format=%n %U %a", "/run/everest", "/var/lib/everest", "/var/lib/everest/modules",
                                "/var/lib/everest/manager", "/var/log/everest", "/var/log/everest/modules",
                                "/etc/everest/user-config", "/home/everest")
        self.assertEqual(found.splitlines(), [
            "/run/everest root 755", "/var/lib/everest root 755", "/var/lib/everest/modules everest 750",
            "/var/lib/everest/manager everest-manager 755", "/var/log/everest root 755", "/var/log/everest/modules everest 750",
            "/etc/everest/user-config everest-manager 755", "/home/everest everest 750"])

    def test_what_modules_see_of_the_system(self):
        """Their home, and nobody else's; /etc to read, but for the manager's directory."""
        meter = str(self.charger.modules()["meter"])
        inside = ("nsenter", "--target", meter, "--mount", "--")
        self.assertEqual(self.box.output(*inside, "ls", "/home"), "everest")
        self.assertEqual(self.box.output(*inside, "ls", "-A", "/root"), "")
        self.assertNotEqual(self.box.run(*inside, "touch", "/etc/everest/new", check=False).returncode, 0)
        self.assertNotEqual(self.box.run(*inside, "touch", "/usr/new", check=False).returncode, 0)
        for directory in ("/etc/everest/user-config", "/home/everest", "/var/lib/everest/modules", "/tmp"):
            self.box.run(*inside, "touch", f"{directory}/new")
            self.box.run("rm", f"{directory}/new")

    def test_nothing_of_the_broker_is_on_the_network(self):
        pid = self.broker.main_pid()
        inodes = set(re.findall(r"socket:\[(\d+)\]", self.box.output("ls", "-l", f"/proc/{pid}/fd")))
        self.assertTrue(inodes)
        for name in ("tcp", "tcp6", "udp", "udp6"):
            text = self.box.path(f"/proc/{pid}/net/{name}").read_text()
            self.assertFalse(inodes & {line.split()[9] for line in text.splitlines()[1:]})


if __name__ == "__main__":
    charger.main()
