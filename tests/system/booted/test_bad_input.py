# SPDX-License-Identifier: Apache-2.0
"""What a charger does on a booted Debian where something is not as it should be: directories, disk, journal, control
groups, memory, and who has been started twice. It says what is wrong, runs on as well as it can, and needs no help when
that is over."""

import contextlib
import os
import signal

import charger
from box import Service
from charger import CONFIG, MODULES, wait_until
from observer import Observer

DISK = "/disk"
OVERLAY = "/etc/everest/user-config/default.yaml"
RECORD = "/var/lib/everest/watchdog-steps"
AGAIN = "restart: {policy: on-failure, delay: 0.2, burst: 100}"
JOURNALD = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket",
            "systemd-journald-audit.socket")
SECOND = "everest@second.service"

# $1: how large it is, then the directories that are moved to it.
MOUNT = f"""
mkdir -p {DISK}
mount -t tmpfs -o size="$1",mode=755 tmpfs {DISK}
shift
for directory; do
    mkdir -p "{DISK}$directory" "$directory"
    cp -a "$directory/." "{DISK}$directory"
    mount --bind "{DISK}$directory" "$directory"
done
"""


class Helpers(charger.RunningCase):
    def restart_with(self, *lines):
        """With a drop-in, for the length of a test."""
        self.addCleanup(self.everest.systemctl, "restart")
        self.drop_in(*lines)
        self.everest.systemctl("restart")

    def status(self, unit="everest.service"):
        return self.box.run("systemctl", "status", "--full", unit, check=False).stdout

    def said(self):
        """By the launcher and the manager of this start."""
        return self.everest.journal(f"_SYSTEMD_INVOCATION_ID={self.everest.get('InvocationID')}")

    def wait_to_be_said(self, text):
        wait_until(lambda: text in self.said(), lambda: f"{text}\n{self.everest.describe()}")

    def assert_running(self):
        self.assertTrue(self.charger.is_running(), self.everest.describe())
        self.assertEqual(self.everest.get("StatusText"), "All 8 modules are ready")

    def kill_meter(self):
        pid = self.charger.modules()["meter"]
        self.box.run("kill", f"-{int(signal.SIGKILL)}", str(pid))
        return pid

    def assert_meter_comes_back(self):
        """Alone, as AGAIN allows it."""
        main, killed = self.everest.main_pid(), self.kill_meter()
        wait_until(lambda: self.charger.modules().get("meter") not in (None, killed), self.everest.describe)
        self.charger.wait_until_running()
        self.assertEqual(self.everest.main_pid(), main, self.everest.describe())

    def assert_all_come_back(self):
        """By systemd, as after every end of a module."""
        main = self.everest.main_pid()
        self.kill_meter()
        self.charger.wait_until_running(not_as=main)


class RuntimeDirectory:
    def test_read_only(self):
        """A warning is enough: the charger is worth more than to be safe from a second one."""
        self.restart_with("ReadOnlyPaths=/run/everest")
        self.assert_running()
        self.wait_to_be_said("a second manager for the same broker and prefix would not be noticed: /run/everest/instances: "
                             "Read-only file system; a unit that starts this one needs RuntimeDirectory=everest, and nothing "
                             "that makes that read-only")

    def test_read_only_where_a_module_needs_it(self):
        """A module would not be watched as belay.yaml demands."""
        self.policy("modules: {meter: {liveness: {watchdog: 60}}}")
        self.drop_in("ReadOnlyPaths=/run/everest")
        self.assertNotEqual(self.everest.systemctl("restart", check=False).returncode, 0)
        self.assertRegex(self.status(), r'Status: "could not make a notify socket for `liveness: \{watchdog: ...\}`: '
                                        "/run/everest/belay-[^:]*: Read-only file system; /run/everest must be writable: a unit "
                                        "needs RuntimeDirectory=everest, and nothing that makes that read-only")
        self.assertEqual(self.everest.processes(), {})
        self.drop_in()
        self.charger.wait_until_running()

    def test_something_else_in_its_place(self):
        """systemd makes the directory, and so it is systemd who says that it cannot."""
        self.everest.systemctl("stop")
        self.box.run("rm", "-r", "/run/everest")
        self.box.write("/run/everest", "")
        self.addCleanup(self.box.run, "rm", "-rf", "/run/everest")
        self.assertNotEqual(self.everest.systemctl("start", check=False).returncode, 0)
        self.assertIn("status=233/RUNTIME_DIRECTORY", self.status())
        wait_until(lambda: "Failed to set up special execution directory in /run: Not a directory" in self.everest.journal(),
                   self.everest.describe)
        self.box.path("/run/everest").unlink()
        self.charger.wait_until_running()


class FullDisk:
    def mount(self, size, *directories):
        """A small disk, on which these directories are."""
        self.everest.systemctl("stop")
        self.addCleanup(self.everest.systemctl, "restart")
        self.addCleanup(self.box.run, "umount", "--lazy", *directories, DISK)
        self.box.run("sh", "-euc", MOUNT, "sh", size, *directories)
        self.everest.systemctl("start")

    def fill(self, directory=DISK):
        with open(self.box.path(f"{directory}/filler"), "wb") as filler, contextlib.suppress(OSError):
            while True:
                os.write(filler.fileno(), bytes(4096))

    def free(self):
        self.box.path(f"{DISK}/filler").unlink()

    def content(self):
        """Of all files on the disk."""
        return {path: path.read_bytes() for path in self.box.path(DISK).rglob("*")
                if path.is_file() and path.name != "filler"}

    def ask(self, kind, **request):
        """As the module `meter`, about its voltage."""
        observer = Observer(self, str(self.box.path("/run/mosquitto/mosquitto.sock")), "0")
        identifier = {"module_id": "meter", "configuration_parameter_name": "voltage_V"}
        answer = observer.ask({"type": kind, "origin": "meter", "request": {"identifier": identifier, **request}})
        observer.close()
        self.assertEqual(answer["status"], "Ok", answer)
        return answer["response"]

    def set_voltage(self, value):
        answer = self.ask("Set", value=value)
        return answer["status"], answer["status_info"]

    def voltage(self):
        return self.ask("Get", type="Value")["data"]["value"]

    def test_state_and_parameters(self):
        self.mount("128k", "/var/lib/everest", "/var/log/everest", "/etc/everest/user-config")
        self.assertEqual(self.set_voltage("229"), ("RebootRequired", ""))
        self.fill()
        before = self.content()
        self.assertIn(self.box.path(DISK + RECORD), before)

        self.everest.systemctl("restart")
        self.assert_running()
        self.wait_to_be_said(f"could not record the step `started timeout 0 ms, boot status 0x0` in {RECORD}: "
                             "No space left on device")
        self.assertEqual(self.set_voltage("231"), ("Rejected", "Failed to persist change"))
        self.wait_to_be_said("meter: could not set `voltage_V`: /etc/everest/user-config/.default.yaml.new: could not write it: "
                             "No space left on device")
        self.assertEqual(self.voltage(), 229)
        self.assert_all_come_back()
        self.assertEqual(self.content(), before, "what was there stays, and nothing half written beside it")

        self.free()
        self.assertEqual(self.set_voltage("232"), ("RebootRequired", ""))
        self.assertIn("232", self.box.path(OVERLAY).read_text())
        pid = self.kill_meter()
        wait_until(lambda: f"exit meter (pid {pid}): killed by SIGKILL" in self.box.path(RECORD).read_text(),
                   self.everest.describe)
        wait_until(lambda: self.charger.is_running() and self.voltage() == 232, self.everest.describe)

    def test_log_file(self):
        """A module that cannot bear that its output fails, as one in Python, ends; systemd does not give up."""
        name = "/var/log/everest/charger.log"
        log = self.box.path(name)
        self.mount("64k", "/var/log/everest")
        self.fill()
        self.restart_with(f"StandardOutput=append:{name}")
        wait_until(lambda: self.everest.get("NRestarts") != "0", self.everest.describe)
        self.assertRegex(self.box.path(RECORD).read_text(), r"exit \w+ \(pid \d+\): exit code \d+\n")
        self.assertEqual(log.read_text(), "")
        self.free()
        wait_until(lambda: "info: all modules ready in" in log.read_text(), self.everest.describe)
        self.charger.wait_until_running()

    def test_journal(self):
        """journald has it in /run then."""
        restart_journald = ("systemctl", "restart", "systemd-journald.service")
        self.addCleanup(self.box.run, *restart_journald)
        self.box.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/var/log/journal")
        self.addCleanup(self.box.run, "umount", "--lazy", "/var/log/journal")
        self.fill("/var/log/journal")
        self.box.run(*restart_journald)
        self.everest.systemctl("restart")
        self.assert_running()
        self.wait_to_be_said("all modules ready in")
        self.assertEqual(self.box.output("find", "/var/log/journal", "-name", "*.journal", "-size", "+0"), "")
        self.assert_all_come_back()


class NoJournal:
    def stop_journald(self):
        self.box.run("systemctl", "mask", "--runtime", *JOURNALD)
        self.addCleanup(self.start_journald)
        self.box.run("systemctl", "stop", *JOURNALD)

    def start_journald(self):
        self.box.run("systemctl", "unmask", "--runtime", *JOURNALD)
        self.box.run("systemctl", "start", *JOURNALD[:3])

    def test_it_ends_under_a_charger(self):
        self.policy(f"modules: {{'*': {{{AGAIN}}}}}")
        self.everest.systemctl("restart")
        self.stop_journald()
        self.assert_meter_comes_back()
        self.start_journald()
        pid = self.kill_meter()
        self.wait_to_be_said(f"meter (pid {pid}): ended: killed by SIGKILL (9); restart 2 of 100")
        self.charger.wait_until_running()
        self.wait_to_be_said(f"meter (pid {self.charger.modules()['meter']}): started")

    def test_a_start_without(self):
        log = "/run/charger.log"
        self.addCleanup(self.box.run, "rm", "-f", log)
        self.policy(f"modules: {{meter: {{{AGAIN}}}}}")
        self.stop_journald()
        for output in ("journal", "null", f"append:{log}"):
            with self.subTest(output):
                self.restart_with(f"StandardOutput={output}")
                self.assert_running()
                self.assert_meter_comes_back()
        text = self.box.path(log).read_text()
        self.assertIn("info: all modules ready in", text)
        self.assertRegex(text, r"warning: meter \(pid \d+\): ended: killed by SIGKILL \(9\); restart 1 of 100 in 0.2 s")


class ControlGroups:
    def meter(self):
        return next((pid for pid, process in self.everest.processes().items()
                     if process.arguments.startswith("meter:EnergyMeter ")), None)

    def test_not_delegated(self):
        self.policy(f"modules: {{'*': {{limits: {{TasksMax: 50}}}}, meter: {{{AGAIN}}}}}")
        self.restart_with("Delegate=no")
        self.assertEqual(self.everest.show("ActiveState", "StatusText"),
                         {"ActiveState": "active", "StatusText": "All 8 modules are ready"})
        before = self.everest.processes()
        self.assertEqual({process.group for process in before.values()}, {"."})
        self.assertEqual(len(before), len(MODULES) + 2)
        self.wait_to_be_said("without effect")
        self.assertEqual([line for line in self.said().splitlines() if "without effect" in line], [
            "warning: without effect: `TasksMax` of `auth`, `car`, `evse`, `intruder`, `meter`, `pilot`, `slac`, `tokens`: no "
            "control group is delegated to Belay; start it from a unit with Delegate=yes, with cgroup v2 and Linux 5.14 or "
            "newer"])
        meter, main = self.meter(), self.everest.main_pid()
        self.box.run("kill", f"-{int(signal.SIGKILL)}", str(meter))
        wait_until(lambda: self.meter() not in (None, meter), self.everest.describe)
        self.assertEqual(self.everest.main_pid(), main)
        pids = self.everest.processes()
        self.everest.systemctl("stop")
        self.assertEqual(self.everest.get("Result"), "success")
        self.assertEqual(self.charger.alive(pids), [])

    def test_out_of_memory(self):
        controllers = self.box.path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
        if "memory" not in controllers:
            self.skipTest("this machine has no memory controller in cgroup v2; system.board emulates one that has")
        self.policy("modules: {meter: {limits: {MemoryMax: 64M}, restart: {policy: on-failure, delay: 1}}}")
        self.everest.systemctl("restart")
        self.exhaust_memory_of_meter()


class Twice:
    def sentence(self):
        return (f"nothing was started: another manager, pid {self.everest.main_pid()}, serves the prefix `everest/` of the MQTT "
                "broker at the Unix socket /run/mosquitto/mosquitto.sock already; stop that one, or give this one a prefix")

    def test_by_hand(self):
        before = self.everest.processes()
        done = self.box.run("/usr/bin/manager", "--config", CONFIG, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(self.sentence(), done.stderr)
        self.assertEqual(self.everest.processes(), before)
        self.assert_running()

    def test_as_a_service(self):
        """Which waits for the first one to end."""
        self.box.write("/etc/everest/second.yaml", self.box.path(CONFIG).read_text())
        second = Service(self.box, SECOND)
        self.addCleanup(self.everest.systemctl, "restart")
        self.addCleanup(second.systemctl, "stop")
        before = self.everest.processes()
        self.assertNotEqual(second.systemctl("start", check=False).returncode, 0)
        self.assertIn(f'Status: "{self.sentence()}', self.status(SECOND))
        wait_until(lambda: second.get("NRestarts") != "0", second.describe)
        explained = self.box.output("journalctl", "--no-pager", "--catalog", "--unit", SECOND)
        self.assertIn("Subject: The charger was not started", explained)
        self.assertNotIn("The configuration is wrong", explained)
        self.assertEqual(self.everest.processes(), before)
        self.assert_running()
        self.everest.systemctl("stop")
        second.wait_for("active")
        self.assertEqual(second.get("StatusText"), "All 8 modules are ready")


class BadInput(RuntimeDirectory, FullDisk, NoJournal, ControlGroups, Twice, Helpers):
    """All of it with one boot."""


if __name__ == "__main__":
    charger.main()
