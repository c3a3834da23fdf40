# SPDX-License-Identifier: Apache-2.0
"""One hostile module in a real charger: nothing that it tries gets it out, and it disturbs nobody.

Every attempt is judged: by the module, which knows whether its system call succeeded, or from outside, where only that
tells. An attempt that must fail and succeeds is a failure, and so is one of which nothing is known. That an attempt can
succeed at all is shown by a control: the same program, where nothing protects. See table.py for what is conceded."""

import json
import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
import world  # noqa: E402

if __name__ == "__main__":
    world.enter()

import harness  # noqa: E402
from charger import NEIGHBOURS, PRIVILEGED, Charger, Control, planted_code_runs  # noqa: E402
from harness import wait_until  # noqa: E402
from mqtt import Broker  # noqa: E402
from table import NO_CONTROL, OF_NET_RAW, Row, Table  # noqa: E402
from world import HOME, NET_RAW, UID  # noqa: E402

CALM_S = 2  # within which the manager answers, whatever a module does
controls = {}  # attempt → as whom it succeeds where nothing protects; the same for all tables


class Attack(harness.Case):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.everest.pw_uid, UID)
        self.charger = Charger(self)
        self.prefix = self.charger.prefix
        self.broker = Broker(self)
        self.observer = self.broker.observe()
        if not controls:
            controls.update(Control(self.charger).run())

    def begin(self, capabilities, declared, **more):
        self.charger.tell(hostile=self.charger.told(declared=declared, **more))
        self.config = self.charger.configure(capabilities, self.broker)
        self.timeline = self.scratch / "timeline"
        self.manager = self.start(self.prefix, self.config, "--timeline", str(self.timeline),
                                  environment=self.charger.environment())
        self.manager.wait_for("ALL_MODULES_STARTED")
        self.pids = self.module_pids()

    def module_pids(self):
        """Module id → pid of who runs now; what a module leaves behind has its name as well."""
        events = map(json.loads, self.timeline.read_text().splitlines())
        return {event["module"]: event["pid"] for event in events if event["event"] == "executed"}

    # ---- From outside ----

    def state(self):
        """What must be the same afterwards: files, and who runs since when."""
        pids = [self.manager.pid, self.manager.manager_pid(), *self.pids.values()]
        statuses = {pid: harness.status_of(pid) for pid in pids}
        sets = {pid: {name: status[name] for name in ("Uid", "Gid", "Groups", "CapEff", "CapBnd", "NoNewPrivs",
                                                      "Seccomp")} for pid, status in statuses.items()}
        limits = {pid: pathlib.Path(f"/proc/{pid}/limits").read_text() for pid in pids}
        system = {path: pathlib.Path(path).read_bytes() for path in ("/etc/passwd", "/etc/group", "/etc/hosts")}
        return {"files": world.snapshot(self.prefix.path), "running": {pid: world.start_time(pid) for pid in pids},
                "sets": sets, "limits": limits, "system": system, "host": os.uname().nodename,
                "preload": os.path.exists("/etc/ld.so.preload"), "stopped": [
                    pid for pid in pids if statuses[pid]["State"][0] == "T"]}

    def assert_calm(self, state):
        """Nobody was disturbed, and the manager answers."""
        begin = time.monotonic()
        self.observer.ask({"type": "Get", "origin": "script", "request": {"type": "AllMappings"}})
        self.assertLess(time.monotonic() - begin, CALM_S, "the manager is slow to answer")
        for pid, since in state["running"].items():
            self.assertEqual(world.start_time(pid), since)

    def assert_no_strangers(self, known, declared):
        """Below the launcher is nobody new but the hostile module's own, each as its plan says."""
        for pid, program in world.running_below(self.manager.pid).items():
            if pid in known:
                continue
            self.assertTrue(program.endswith("/Hostile"), f"{pid} {program} {known} {self.pids} {[l for l in self.manager.log.splitlines() if not l.startswith('xxx')][-40:]} {self.timeline.read_text()}")
            status = harness.status_of(pid)
            self.assertEqual(status["Uid"].split(), [str(UID)] * 4)
            self.assertEqual({int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")},
                             {declared})
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))

    # ---- The table ----

    def collect(self, table, state, granted=()):
        """Rows as they come; what only the outside tells is judged when it comes."""
        topic = "attack/hostile"
        for number in range(1, 10_000):
            line = json.loads(self.observer.wait(topic, number)["payload"])
            if "done" in line:
                return
            if os.environ.get("BELAY_ATTACK_VERBOSE"):
                print(time.monotonic(), json.dumps(line), file=sys.stderr, flush=True)
            row = Row(line["group"], line["attempt"], line["outcome"], line["errno"], line["note"])
            row.control = controls.get(row.key, "-")
            if row.outcome == "outside":
                row.outcome = self.judge(row, state)
            table.add(row, granted)

    def judge(self, row, state):
        try:
            self.assert_calm(state)
            return "no effect"
        except AssertionError as error:
            row.note = str(error)
            return "escaped"

    def row(self, table, group, attempt, prevented, control="test", note=""):
        table.add(Row(group, attempt, "no effect" if prevented else "escaped", "", note, control))

    def finish(self, table):
        table.print()
        self.assertEqual(table.problems(), [])

    def check_controls(self, table):
        """An attempt that never succeeds proves nothing."""
        without = [row.key for row in table.rows if row.control == "-" and row.attempt not in NO_CONTROL
                   and row.outcome != "conceded"]
        self.assertEqual(without, [], "attempts that succeed nowhere")

    # ---- The course of it ----

    def attack(self, title, capabilities, declared):
        table = Table(title)
        self.begin(capabilities, declared)
        known = world.descendants(self.manager.pid)
        state = self.state()
        self.collect(table, state, OF_NET_RAW if declared else ())
        self.observer.fence()
        self.assertEqual(self.state(), state)
        self.assert_no_strangers(known, declared)
        self.judge_notifications(table)
        self.judge_planted_code(table)
        self.judge_survivors(table)
        self.stop(table)
        self.finish(table)
        self.check_controls(table)

    def judge_notifications(self, table):
        """systemd takes what the main process says, and nothing else."""
        messages = self.charger.notifications.messages()
        self.assertIn((self.manager.pid, "READY=1"), messages)
        forged = [pid for pid, text in messages if "owned" in text]
        self.assertTrue(forged)
        self.row(table, "network", "… is taken for the launcher", self.manager.pid not in forged,
                 controls["network: … as the launcher"])

    def judge_planted_code(self, table):
        for module in PRIVILEGED:
            os.kill(self.pids[module], signal.SIGKILL)
            self.observer.wait(f"everest/modules/{module}/ready", 2)
        ran = {name for name in ("python", "node", "preload") if (HOME / f"ran-{name}").exists()}
        runnable = planted_code_runs()
        for name in ("python", "node", "preload"):
            self.row(table, "files", f"… run by a neighbour: {name}", name not in ran,
                     "user" if name in runnable else "-")

    def own_processes(self):
        return [pid for pid, program in world.running_below(self.manager.pid).items() if program.endswith("/Hostile")]

    def judge_survivors(self, table):
        """Of the module alone; it comes back, and tries nothing more."""
        left = set(self.own_processes()) - {self.pids["hostile"]}
        self.assertGreaterEqual(len(left), 3)
        self.charger.tell(hostile=self.charger.told(only=["nothing"]))
        os.kill(self.pids["hostile"], signal.SIGKILL)
        self.observer.wait("attack/hostile", 2, lambda message: "done" in json.loads(message["payload"]))
        survived = [pid for pid in left if harness.alive(pid)]
        self.row(table, "survivors", "… when only the module ends", not survived, "test", f"{len(survived)} processes")

    def stop(self, table):
        begin = time.monotonic()
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.assertLess(time.monotonic() - begin, 5)
        left = self.prefix.processes()
        self.row(table, "survivors", "… when the charger stops", not left, "test")
        segments = len(pathlib.Path("/proc/sysvipc/shm").read_text().splitlines()) - 1
        row = next(row for row in table.rows if row.key == "survivors: System V memory")
        self.assertEqual(segments, 1, row.outcome)

    def test_without_capabilities(self):
        self.attack("The hostile module, without capabilities", [], 0)

    def test_with_net_raw(self):
        self.attack("The hostile module, with CAP_NET_RAW", ["CAP_NET_RAW"], NET_RAW)


if __name__ == "__main__":
    harness.main()
