# SPDX-License-Identifier: Apache-2.0
"""A charger with a hostile module, watched from outside."""

import json
import os
import pathlib
import signal
import sys
import time

import harness
import world
from charger import Charger, Control
from harness import wait_until
from mqtt import Broker
from table import Row
from world import UID

MOST_MEMORY_KB = 64 * 1024  # of the manager; a start takes a third
CALM_S = 15  # within which the manager answers, whatever a module does; most of it is the observer's own time
HANG_S = 1  # after which one that is stopped is known to be; after 2.5 s the launcher ends it
TOPIC = "attack/hostile"
controls = {}  # attempt → where it succeeds: as "root" or "user" where nothing protects, or with "access" given

# Known when the module has been ended, or the charger.
JUDGED_LATER = {"files: plant code at home", "network: notify systemd as itself",
                "network: … with a descriptor to store",
                "survivors: processes in their own sessions", "survivors: a process tree with a reaper",
                "survivors: System V memory", "bus only: retained metadata and ready",
                "bus only: ready of a module that is not", "bus only: shutdown"}


class AttackCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.everest.pw_uid, UID)
        self.charger = Charger(self)
        self.prefix = self.charger.prefix
        self.later = {}
        if not controls:
            found = Control(self.charger).run()
            found |= self.controls_of_charger()
            controls.update(found)
        self.broker = Broker(self)
        self.observer = self.broker.observe()

    def begin(self, capabilities=(), hostile=None, modules=None, until="ALL_MODULES_STARTED", stderr=None, policy=None,
              **told):
        fifo = self.scratch / f"manager-{self._managers + 1}/status"
        self.charger.tell(hostile=self.charger.told(status_fifo=str(fifo), **told))
        config = self.charger.configure(list(capabilities), self.broker, hostile, modules, **(policy or {}))
        self.timeline = self.scratch / f"timeline-{self._managers}"
        self.manager = self.start(self.prefix, config, "--timeline", str(self.timeline),
                                  environment=self.charger.environment(), stderr=stderr)
        if until:
            self.manager.wait_for(until)
            self.pids = self.module_pids()

    def module_pids(self):
        """Module id → pid of who runs now; what a module leaves behind has its name as well."""
        events = map(json.loads, self.timeline.read_text().splitlines())
        return {event["module"]: event["pid"] for event in events if event["event"] == "executed"}

    # ---- From outside ----

    def state(self):
        """What must be the same afterwards: files, and who runs since when, with what."""
        pids = [self.manager.pid, self.manager.manager_pid(), *self.pids.values()]
        statuses = {pid: harness.status_of(pid) for pid in pids}
        names = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
        return {"files": world.snapshot(self.prefix.path),
                "running": {pid: world.start_time(pid) for pid in pids},
                "identities": {pid: {name: status[name] for name in names} for pid, status in statuses.items()},
                "limits": {pid: pathlib.Path(f"/proc/{pid}/limits").read_text() for pid in pids},
                "system": [pathlib.Path("/etc", name).read_bytes() for name in ("passwd", "group", "hosts")],
                "descriptors": {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in pids[:2]},
                "host": os.uname().nodename,
                "preload": os.path.exists("/etc/ld.so.preload"),
                "stopped": [pid for pid in pids if statuses[pid]["State"][0] == "T"]}

    def assert_calm(self, state, within_s):
        """Nobody was disturbed, and the manager answers."""
        self.observer.ask({"type": "Get", "origin": "script", "request": {"type": "AllMappings"}}, timeout=within_s)
        for pid, since in state["running"].items():
            self.assertEqual(world.start_time(pid), since)

    def judge(self, row, state, within_s=CALM_S):
        try:
            self.assert_calm(state, within_s)
            return "no effect"
        except (AssertionError, FileNotFoundError) as error:
            row.note = str(error)
            return "escaped"

    def assert_no_strangers(self, declared):
        """Beside the manager and the neighbours, there are only processes of the hostile module, as its plan says."""
        neighbours = {pid for module, pid in self.pids.items() if module != "hostile"}
        for pid, (program, ancestors) in world.programs_below(self.manager.pid).items():
            if neighbours & {pid, *ancestors} or pid in (self.manager.pid, self.manager.manager_pid()):
                continue
            self.assertTrue(program.endswith("/Hostile"), program)
            status = harness.status_of(pid)
            self.assertEqual(status["Uid"].split(), [str(UID)] * 4)
            self.assertEqual({int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")},
                             {declared})
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    def processes_of_hostile(self):
        programs = world.programs_below(self.manager.pid)
        return [pid for pid, (program, _) in programs.items() if program.endswith("/Hostile")]

    # ---- The table ----

    def reports(self):
        """What the module says of its attempts, as it comes."""
        for number in range(1, 10_000):
            line = json.loads(self.observer.wait(TOPIC, number)["payload"])
            if os.environ.get("BELAY_ATTACK_VERBOSE"):
                print(json.dumps(line), file=sys.stderr, flush=True)
            if "done" in line:
                return
            row = Row(line["group"], line["attempt"], line["outcome"], line["errno"], line["note"])
            row.control = controls.get(row.key, "-")
            if row.key == "processes: kill: -1":  # refused where there is nobody within reach; WithoutSandbox shows it
                row.control = "charger"
            yield row

    def collect(self, table, state, granted=()):
        for row in self.reports():
            if row.outcome == "outside" and row.key in JUDGED_LATER:
                self.later[row.key] = row
                continue
            if row.outcome == "outside":
                row.outcome = self.judge(row, state)
                row.control = controls["the judge"]
            table.add(row, granted)

    def settle(self, table, key, prevented, control, note=""):
        """The row of an attempt that only now can be judged."""
        row = self.later.pop(key)
        row.outcome, row.control, row.note = "no effect" if prevented else "escaped", control, note
        table.add(row)

    def finish(self, table):
        table.print()
        self.assertEqual(self.later, {}, "attempts that nobody judged")
        self.assertEqual(table.problems(), [])
        self.assertEqual(table.unproven(), [], "attempts that succeed nowhere")

    # ---- What succeeds where nothing prevents it ----

    def controls_of_charger(self):
        """With a manager: who has access to all configurations reads them, and a manager that hangs is seen."""
        self.broker = Broker(self, "control-broker")
        self.observer = self.broker.observe()
        access = {"config": {"allow_global_read": True}}
        self.begin(hostile={"access": access}, only=["read a parameter of another", "read all parameters"])
        found = {row.key: "access" for row in self.reports() if row.outcome == "escaped"}
        state = self.state()
        os.kill(self.manager.manager_pid(), signal.SIGSTOP)
        row = Row("", "SIGSTOP of the manager", "outside")
        if self.judge(row, state, HANG_S) == "escaped":
            found["the judge"] = "judge"
        os.kill(self.manager.manager_pid(), signal.SIGCONT)
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.observer.close()
        self.broker.kill()
        return found

    def wait_for_ready(self, module, count):
        self.observer.wait(f"everest/modules/{module}/ready", count)

    def assert_modest(self):
        """Whatever was sent to the manager, it did not keep it."""
        kilobytes = int(harness.status_of(self.manager.manager_pid())["VmRSS"].split()[0])
        self.assertLess(kilobytes, MOST_MEMORY_KB)

    def stop_in_time(self, limit_s=5):
        begin = time.monotonic()
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.assertLess(time.monotonic() - begin, limit_s)
        wait_until(lambda: self.manager.status()[-1:] == ["MANAGER_EXITING"], "the last status line")
