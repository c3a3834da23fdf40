# SPDX-License-Identifier: Apache-2.0
"""everest.service on a booted Debian: it starts, is what it should be, comes back after whatever ends, and stops."""

import signal

import charger
from charger import MODULES, wait_until

KILL = str(int(signal.SIGKILL))
# CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP; CAP_NET_RAW is to be handed on to slac.
LAUNCHER = {5, 6, 7, 8, 13}
NET_RAW = {13}
# The catalog says what they are: belay.catalog.
STARTED, READY, CRASHED = ("e397b9be2c9342e49feeb4f16951fd43", "5604e9f3f6f64cfabb61b28eed3f6156",
                           "4e5bf1905d994fae915cf329e156960e")


class RunningService(charger.RunningCase):
    def status_of(self, pid):
        lines = self.box.path(f"/proc/{pid}/status").read_text().splitlines()
        return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}

    def user(self, name):
        return [int(self.box.output("id", "--user", name))] * 4

    def test_is_active_when_all_modules_are_ready(self):
        self.everest.systemctl("restart")
        self.assertEqual(self.everest.get("ActiveState"), "active")
        invocation = self.everest.get("InvocationID")
        lines = self.everest.journal(f"_SYSTEMD_INVOCATION_ID={invocation}", "+", f"INVOCATION_ID={invocation}").splitlines()
        ready = next(i for i, line in enumerate(lines) if line.startswith("all modules ready"))
        started = next(i for i, line in enumerate(lines) if line.startswith("Started everest.service"))
        self.assertLess(ready, started, lines)
        self.assertEqual(set(self.charger.modules()), MODULES)

    def test_what_systemd_shows(self):
        shown = self.everest.show("Type", "NotifyAccess", "Delegate", "ActiveState", "SubState", "NRestarts", "UnitFileState",
                                  "LoadState", "ControlGroup")
        version = int(self.box.output("systemctl", "--version").split()[1])
        kind = "notify-reload" if version >= 254 else "notify"
        self.assertEqual(shown, {"Type": kind, "NotifyAccess": "main", "Delegate": "yes", "ActiveState": "active",
                                 "SubState": "running", "NRestarts": shown["NRestarts"], "UnitFileState": "enabled",
                                 "LoadState": "loaded", "ControlGroup": "/system.slice/everest.service"})
        main, manager = self.charger.launcher_and_manager()
        self.assertEqual(self.box.path(f"/proc/{main}/comm").read_text(), "launcher\n")
        self.assertEqual(self.box.path(f"/proc/{manager}/comm").read_text(), "manager\n")

    def test_each_process_has_exactly_its_capabilities(self):
        main, manager = self.charger.launcher_and_manager()
        modules = self.charger.modules()
        expected = {main: (self.user("root"), LAUNCHER), manager: (self.user("everest-manager"), set())}
        expected.update({pid: (self.user("everest"), NET_RAW if name == "slac" else set())
                         for name, pid in modules.items()})
        self.assertEqual(set(expected), set(self.everest.processes()), self.everest.describe())
        for pid, (user, capabilities) in expected.items():
            status = self.status_of(pid)
            mask = sum(1 << number for number in capabilities)
            sets = {name: int(status[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
            with self.subTest(pid=pid, arguments=status["Name"]):
                self.assertEqual(list(map(int, status["Uid"])), user)
                if pid == main:
                    self.assertEqual({sets["CapPrm"], sets["CapEff"], sets["CapBnd"]}, {mask})
                else:
                    self.assertEqual(set(sets.values()), {mask})
                    self.assertEqual(status["NoNewPrivs"], ["1"])
                    self.assertEqual(status["Seccomp"], ["2"])

    def test_a_killed_module_ends_all_and_systemd_starts_them_again(self):
        before = self.everest.processes()
        main = self.everest.main_pid()
        self.box.run("kill", f"-{KILL}", str(self.charger.modules()["meter"]))
        self.charger.wait_until_running(not_as=main)
        self.assertEqual(self.charger.alive(before), [])

    def test_a_killed_module_that_may_be_restarted_comes_back_alone(self):
        self.policy("modules: {meter: {restart: {policy: on-failure, delay: 0.2}}}")
        self.everest.systemctl("restart")
        before, main = self.charger.modules(), self.everest.main_pid()
        self.box.run("kill", f"-{KILL}", str(before["meter"]))
        wait_until(lambda: self.charger.modules().get("meter") not in (None, before["meter"]), self.everest.describe)
        self.assertEqual({**self.charger.modules(), "meter": before["meter"]}, before)
        self.assertEqual(self.everest.main_pid(), main)

    def test_a_killed_manager_is_started_again_with_all_modules(self):
        main, manager = self.charger.launcher_and_manager()
        before = self.everest.processes()
        self.box.run("kill", f"-{KILL}", str(manager))
        self.charger.wait_until_running(not_as=main)
        self.assertEqual(self.charger.alive(before), [])

    def test_a_killed_launcher_leaves_nothing_and_is_started_again(self):
        main = self.everest.main_pid()
        before = self.everest.processes()
        self.box.run("kill", f"-{KILL}", str(main))
        self.charger.wait_until_running(not_as=main)
        self.assertEqual(self.charger.alive(before), [])

    def test_a_killed_broker_comes_back_and_the_charger_with_it(self):
        main, broker = self.everest.main_pid(), self.broker.main_pid()
        self.box.run("kill", f"-{KILL}", str(broker))
        wait_until(lambda: self.broker.get("ActiveState") == "active" and self.broker.main_pid() != broker,
                   self.broker.describe)
        self.charger.wait_until_running(not_as=main)

    def test_a_broker_that_is_stopped_does_not_stop_the_charger_for_good(self):
        main = self.everest.main_pid()
        self.broker.systemctl("stop")
        wait_until(lambda: set(self.charger.modules()) != MODULES, self.everest.describe)
        self.assertNotIn(self.everest.get("ActiveState"), ("failed", "inactive"), self.everest.describe())
        self.broker.systemctl("start")
        self.charger.wait_until_running(not_as=main)

    def test_the_journal_tells_modules_and_events_apart(self):
        pid = self.charger.modules()["slac"]
        said = self.wait_for_entries("--identifier=slac", f"_PID={pid}")
        self.assertIn("raw packet socket on lo: open, I have CAP_NET_RAW", [entry["MESSAGE"] for entry in said])
        self.assertEqual({entry["_SYSTEMD_UNIT"] for entry in said}, {"everest.service"})
        ids = {entry["MESSAGE_ID"] for entry in self.charger.entries("EVEREST_MODULE=slac") if "MESSAGE_ID" in entry}
        self.assertLessEqual({STARTED, READY}, ids)
        meter = self.charger.modules()["meter"]
        self.box.run("kill", f"-{KILL}", str(meter))
        [crash] = self.wait_for_entries(f"MESSAGE_ID={CRASHED}", f"EVEREST_PID={meter}")
        self.assertEqual((crash["EVEREST_MODULE"], crash["PRIORITY"]), ("meter", "3"))
        explained = self.box.output("journalctl", "--no-pager", "--catalog", f"MESSAGE_ID={CRASHED}", f"EVEREST_PID={meter}")
        self.assertIn("coredumpctl info", explained)

    def test_a_signal_to_all_processes_is_survived(self):
        main = self.everest.main_pid()
        self.everest.systemctl("kill")
        self.charger.wait_until_running(not_as=main)

    def test_frozen_and_thawed_it_runs_on(self):
        main, before = self.everest.main_pid(), self.charger.modules()
        self.everest.systemctl("freeze")
        self.assertEqual(self.everest.get("FreezerState"), "frozen")
        self.everest.systemctl("thaw")
        self.assertEqual(self.everest.get("FreezerState"), "running")
        self.assertEqual((self.everest.main_pid(), self.charger.modules()), (main, before))

    def test_stop_leaves_no_process(self):
        before = self.everest.processes()
        self.everest.systemctl("stop")
        self.assertEqual(self.everest.show("ActiveState", "Result"), {"ActiveState": "inactive", "Result": "success"})
        self.assertEqual(self.charger.alive(before), [])
        self.assertEqual(self.box.output("ps", "-o", "pid,args", "--no-headers", "-u", "everest,everest-manager", check=False), "")
        self.assertEqual(self.everest.get("ControlGroup"), "")

    def test_reload_keeps_the_launcher_and_renews_the_modules(self):
        main, before = self.everest.main_pid(), self.charger.modules()
        self.everest.systemctl("reload")
        wait_until(lambda: self.charger.is_running() and not set(self.charger.modules().values()) & set(before.values()),
                   self.everest.describe)
        self.assertEqual(self.everest.main_pid(), main)

    def test_a_broken_configuration_is_told_in_the_status(self):
        self.rewrite(charger.CONFIG, lambda text: text.replace("- CAP_NET_RAW", "- CAP_NET_RAV"))
        self.everest.systemctl("restart", check=False)
        self.assertNotEqual(self.everest.get("ActiveState"), "active")
        self.assertEqual(self.everest.get("Result"), "exit-code")
        status = self.box.run("systemctl", "status", "--full", self.everest.name, check=False)
        self.assertNotEqual(status.returncode, 0)
        self.assertRegex(status.stdout, r"default\.yaml:\d+:\d+: error: module `slac` asks for the capability `CAP_NET_RAV`")
        self.assertEqual(self.everest.processes(), {})

    def test_twenty_restarts(self):
        seen = set()
        for _ in range(20):
            self.everest.systemctl("restart")
            self.assertEqual(set(self.charger.modules()), MODULES, self.everest.describe())
            pids = set(self.everest.processes())
            self.assertEqual(len(pids), len(MODULES) + 2, self.everest.describe())
            self.assertFalse(seen & pids, "a process outlived its charger")
            seen |= pids
        self.assertEqual(self.charger.alive(seen - pids), [])
        self.assertEqual(self.box.output("systemctl", "--failed", "--no-legend"), "")


if __name__ == "__main__":
    charger.main()
