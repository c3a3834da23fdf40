# SPDX-License-Identifier: Apache-2.0
"""What takes a whole machine with systemd: cores that systemd-coredump has, memory that the kernel counts, and a hardware
watchdog, held by systemd or by the charger."""

import re
import signal
import sys
import unittest

import board
import charger
from charger import wait_until

DEVICE = "/dev/watchdog0"
TIMEOUT = 20  # seconds until the hardware resets the machine
SERVICE_TIMEOUT = 15  # seconds until systemd ends the service
RUNTIME_WATCHDOG = "/etc/systemd/system.conf.d/watchdog.conf"
RUNTIME_TIMEOUT = 40  # seconds until the hardware resets the machine if systemd is silent
POLICY = f"""
watchdog: {{device: {DEVICE}, timeout: {TIMEOUT}}}
modules:
  "*": {{restart: {{policy: on-failure, delay: 0.2, burst: 100}}}}
  meter: {{limits: {{MemoryMax: 64M}}}}
  pilot: {{limits: {{LimitCORE: 0}}}}
"""
# The catalog says what they are: belay.catalog.
CRASHED, LAST_RESET = "4e5bf1905d994fae915cf329e156960e", "3b92dc171533433da54377dbfd192353"


class Board(charger.RunningCase):
    @classmethod
    def setUpClass(cls):
        cls.use(board.Board(POLICY))

    def send(self, name, pid):
        self.box.run("kill", f"-{name}", pid)

    def crash(self, module, name):
        """The pid, and the journal's entry."""
        main, pid = self.everest.main_pid(), self.charger.modules()[module]
        self.send(name, pid)
        [entry] = self.wait_for_entries(f"MESSAGE_ID={CRASHED}", f"EVEREST_PID={pid}")
        self.assertEqual((entry["EVEREST_MODULE"], entry["EVEREST_SIGNAL"]), (module, name))
        wait_until(lambda: self.charger.modules().get(module) not in (None, pid), self.everest.describe)
        self.charger.wait_until_running()
        self.assertEqual(self.everest.main_pid(), main, self.everest.describe())
        return pid, entry["MESSAGE"]

    def assert_no_core(self, *matches):
        """The kernel had started systemd-coredump before the process was gone."""
        wait_until(lambda: self.box.output("systemctl", "list-units", "--no-legend", "systemd-coredump@*") == "",
                   "systemd-coredump is done")
        self.assertEqual(self.charger.entries(*matches), [])

    def watchdog(self, attribute):
        return self.box.read(f"/sys/class/watchdog/watchdog0/{attribute}").strip()

    def said(self):
        """By the launcher and the manager of this start."""
        return self.everest.journal(f"_SYSTEMD_INVOCATION_ID={self.everest.get('InvocationID')}")

    def uptime(self):
        return float(self.box.read("/proc/uptime").split()[0])

    def last_reset(self):
        return self.box.output("/usr/bin/manager", "--last-reset")

    def test_a_crash_has_a_core(self):
        """The command that the journal names finds it, as it is printed."""
        for module, program, name in (("meter", "EnergyMeter", "SIGSEGV"), ("evse", "EvseManager", "SIGABRT")):
            with self.subTest(module):
                pid, message = self.crash(module, name)
                command = re.search(r"\(`(coredumpctl info \d+)`\)", message)
                self.assertEqual(command and command[1], f"coredumpctl info {pid}", message)
                # The module has ended when its core is handed over; then systemd-coredump has some work with it.
                wait_until(lambda: self.box.run(*command[1].split(), check=False).returncode == 0, self.everest.describe)
                info = self.box.output(*command[1].split())
                self.assertRegex(info, rf"PID: {pid} ")
                self.assertRegex(info, rf"Signal: {int(signal.Signals[name])} \({name[3:]}\)")
                self.assertRegex(info, rf"Executable: /usr/libexec/everest/modules/{program}/{program}\n")
                self.assertRegex(info, r"Unit: everest\.service\n")
                self.assertRegex(info, r"Storage: /var/lib/systemd/coredump/\S+ \(present\)")

    def test_a_crash_without_a_core(self):
        pid, message = self.crash("pilot", "SIGSEGV")
        self.assertIn("no core: LimitCORE is 0", message)
        self.assertNotIn("coredumpctl", message)
        self.assert_no_core(f"COREDUMP_PID={pid}")

    def test_a_crash_of_the_manager_has_no_core(self):
        """It cannot be dumped, so that no module can trace it; it may hold what only it may know."""
        main, manager = self.charger.launcher_and_manager()
        self.send("SIGSEGV", manager)
        self.charger.wait_until_running(not_as=main)
        self.assert_no_core("COREDUMP_UNIT=everest.service", f"COREDUMP_PID={manager}")

    def test_a_module_out_of_memory(self):
        self.exhaust_memory_of_meter()

    def test_systemd_holds_the_watchdog(self):
        """The device resets the machine without systemd, and systemd ends the charger when that hangs."""
        self.addCleanup(self.box.run, "systemctl", "daemon-reload")
        self.addCleanup(self.box.remove, RUNTIME_WATCHDOG)
        self.addCleanup(self.everest.systemctl, "stop")
        self.everest.systemctl("stop")
        self.box.write(RUNTIME_WATCHDOG, f"[Manager]\nRuntimeWatchdogSec={RUNTIME_TIMEOUT}\n")
        self.drop_in(f"WatchdogSec={SERVICE_TIMEOUT}")
        self.assertEqual((self.watchdog("state"), self.watchdog("timeout")), ("active", str(RUNTIME_TIMEOUT)))
        self.everest.systemctl("start")
        self.assertIn(f"{DEVICE} is busy: systemd feeds it (RuntimeWatchdogSec={RUNTIME_TIMEOUT}s), and watches this service by "
                      "WatchdogSec=\n"
                      f"systemd ends this service after {SERVICE_TIMEOUT} s without a heartbeat (WatchdogSec=)", self.said())
        for what in ("launcher", "manager"):
            with self.subTest(what):
                pids = self.everest.processes()
                main, manager = self.charger.launcher_and_manager()
                self.send("SIGSTOP", main if what == "launcher" else manager)
                self.charger.wait_until_running(not_as=main)
                self.assertEqual(self.charger.alive(pids), [])
        self.assertIn(f"everest.service: Watchdog timeout (limit {SERVICE_TIMEOUT}s)!", self.everest.journal())
        self.assertIn(f"the manager did not vouch for the modules for {SERVICE_TIMEOUT / 2} s", self.everest.journal())
        self.assertEqual(self.watchdog("state"), "active")

    def test_a_stop_stops_the_watchdog(self):
        self.assertIn(f"the watchdog {DEVICE} (i6300ESB timer) resets the machine after {TIMEOUT} s without a heartbeat",
                      self.said())
        self.assertEqual((self.watchdog("state"), self.watchdog("timeout")), ("active", str(TIMEOUT)))
        self.everest.systemctl("stop")
        self.assertEqual((self.everest.get("Result"), self.watchdog("state")), ("success", "inactive"))
        end = self.uptime() + TIMEOUT + 1
        wait_until(lambda: self.uptime() > end, "the time passes")

    def test_a_killed_launcher_is_back_before_a_reset(self):
        main = self.everest.main_pid()
        self.send("SIGKILL", main)
        self.charger.wait_until_running(not_as=main)
        self.assertEqual(self.watchdog("state"), "active")

    def test_a_launcher_that_hangs_is_ended_by_a_reset(self):
        """Where systemd does not watch it."""
        self.box.run("systemctl", "service-watchdogs", "no")
        self.send("SIGSTOP", self.everest.main_pid())
        self.box.wait_for_boot()
        self.charger.wait_until_running()
        reason = "The watchdog has reset the machine (WDIOC_GETBOOTSTATUS: CARDRESET)."
        self.assertEqual(self.charger.entries(f"MESSAGE_ID={LAST_RESET}")[0]["MESSAGE"], reason)
        self.assertTrue(self.last_reset().startswith(f"{reason}\nNo step was taken before"), self.last_reset())


def main():
    if not board.available():
        print("skipped: needs root, mmdebstrap, and qemu on x86-64")
        sys.exit(77)
    unittest.main()


if __name__ == "__main__":
    main()
