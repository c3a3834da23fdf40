# SPDX-License-Identifier: Apache-2.0
"""One hostile module in a real charger: nothing that it tries gets it out, and it disturbs nobody.

Every attempt is judged: by the module, which knows whether its system call succeeded, or from outside, where only that
tells. An attempt that must fail and succeeds is a failure, and so is one of which nothing is known. That an attempt can
succeed at all is shown by a control: the same program, where nothing protects. See table.py for what is conceded."""

import atexit
import json
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
import world  # noqa: E402

if __name__ == "__main__":
    world.enter()

import harness  # noqa: E402
from attack_case import TOPIC, AttackCase, controls  # noqa: E402
from charger import LOG_MEGABYTES, PRIVILEGED, planted_code_runs, survive_unprotected  # noqa: E402
from harness import wait_until  # noqa: E402
from overlay import Overlay  # noqa: E402, F401
from swap import Swap  # noqa: E402, F401
from table import CONCEDED, NUMBERS, OF_NET_RAW, SCHEDULING, Row, Table, print_total  # noqa: E402
from world import HOME, NET_RAW  # noqa: E402

SURVIVORS = ["processes in their own sessions", "a process tree with a reaper"]
PROCESSES_LEFT = 5  # three of one, two of the other


class Attack(AttackCase):
    def attack(self, title, capabilities, declared):
        table = Table(title)
        self.begin(capabilities, declared=declared)
        state = self.state()
        self.collect(table, state, OF_NET_RAW if declared else ())
        self.observer.fence()
        self.assertEqual(self.state(), state)
        self.assert_no_strangers(declared)
        self.assert_modest()
        self.judge_notifications(table)
        self.judge_planted_code(table)
        self.judge_end_of_module(table)
        self.judge_end_of_charger(table)
        self.finish(table)

    def judge_notifications(self, table):
        """systemd takes what the main process says, and nothing else."""
        messages = self.charger.notifications.messages()
        self.assertIn((self.manager.pid, "READY=1"), messages)
        forged = [pid for pid, text in messages if "owned" in text]
        self.assertGreaterEqual(len(forged), 2)
        for name in ("notify systemd as itself", "… with a descriptor to store"):
            self.settle(table, f"network: {name}", self.manager.pid not in forged,
                        controls["network: … as the launcher"])

    def judge_planted_code(self, table):
        """The privileged neighbours begin anew, and find it at home."""
        self.later.pop("files: plant code at home")
        for module in PRIVILEGED:
            os.kill(self.pids[module], signal.SIGKILL)
            self.wait_for_ready(module, 2)
        names = ("python", "node", "preload")
        ran = {name for name in names if (HOME / f"ran-{name}").exists()}
        runnable = planted_code_runs()
        for name in names:
            outcome = "escaped" if name in ran else "no effect"
            table.add(Row("files", f"plant code at home: {name}", outcome, control="user" if name in runnable else "-"))

    def judge_end_of_module(self, table):
        """It comes back, and leaves the same behind again, for the end of the charger."""
        left = set(self.processes_of_hostile()) - {self.pids["hostile"]}
        self.assertEqual(len(left), PROCESSES_LEFT)
        self.charger.tell(hostile=self.charger.told(only=SURVIVORS))
        os.kill(self.pids["hostile"], signal.SIGKILL)
        self.observer.wait(TOPIC, 2, lambda message: "done" in json.loads(message["payload"]))
        survived = [pid for pid in left if harness.alive(pid)]
        table.add(Row("survivors", "… when only the module ends", "escaped" if survived else "no effect",
                      note=f"{len(survived)} processes", control="user"))

    def judge_end_of_charger(self, table):
        survive_unprotected(self.charger)
        now = self.module_pids()["hostile"]
        wait_until(lambda: len(set(self.processes_of_hostile()) - {now}) >= PROCESSES_LEFT, "processes to be left")
        self.stop_in_time()
        left = self.prefix.processes()
        for name in SURVIVORS:
            self.settle(table, f"survivors: {name}", not left, "user", f"{len(left)} processes")
        segments = pathlib.Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
        self.settle(table, "survivors: System V memory", not segments, "-")
        self.assert_nothing_left(self.manager, self.broker)

    def test_without_capabilities(self):
        self.attack("The hostile module, without capabilities", [], 0)

    def test_with_net_raw(self):
        self.attack("The hostile module, with CAP_NET_RAW", ["CAP_NET_RAW"], NET_RAW)


class UserOfItsOwn(AttackCase):
    """The remedy for what the kernel allows between processes of one user."""

    def test_it_reaches_nobody(self):
        conceded = [key for key, reason in CONCEDED.items() if reason in (SCHEDULING, NUMBERS)]
        table = Table("The hostile module, with a user of its own")
        self.begin(policy={"user": "dynamic"}, only=[key.split(": ", 1)[1] for key in conceded])
        for row in self.reports():
            table.rows.append(row)
            self.assertEqual(row.outcome, "refused", row)
        table.print()
        self.assertEqual({row.key for row in table.rows}, set(conceded))
        self.stop_in_time()


class WithoutSandbox(AttackCase):
    """The control of it all: in the same charger the same module does get out, where belay.yaml lets it."""

    def test_it_gets_out(self):
        self.begin(policy={"sandbox": "off"}, skipped=["processes: kill: -1"])
        groups = {row.group for row in self.reports() if row.outcome == "escaped"}
        self.assertGreaterEqual(groups, {"execution", "namespaces", "processes", "/proc", "keyrings", "network"})
        self.end_by_signal()

    def end_by_signal(self):
        """Where it may, kill(-1) ends the neighbours, and thereby the charger."""
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.observer.close()
        self.observer = self.broker.observe()
        self.begin(policy={"sandbox": "off"}, only=["kill: -1"])
        self.assertEqual(self.manager.wait(), 1, self.manager)


class Terminal(AttackCase):
    """There, what modules print goes through the manager."""

    def test_flood(self):
        table = Table("The log, over a terminal")
        master, slave = self.charger.terminals
        reader = world.Reader(master)
        self.begin(only=["the log"], stderr=slave)
        self.collect(table, self.state())
        self.stop_in_time()
        self.assertGreater(reader.stop(), LOG_MEGABYTES << 20)
        self.finish(table)


class Bus(AttackCase):
    """What outlasts one start, and what would end the charger of the other tables."""

    def test_over_three_starts(self):
        table = Table("The bus, over three starts")
        self.begin(only=["retained metadata and ready"])
        self.collect(table, self.state())
        self.stop_in_time()
        misled = self.next_start_is_misled()
        believed = self.next_start_believes_lies(table)
        # That the manager can be misled is shown by what is not retained.
        self.settle(table, "bus only: retained metadata and ready", not misled, "live" if believed else "-")
        self.end_by_shutdown(table)
        self.finish(table)

    def next_start_is_misled(self):
        """A module that never becomes ready is waited for, whatever is retained; what is not ours is gone."""
        self.assertIn("everest/modules/late/ready", self.broker.retained())
        self.prefix.behave(late={"never_ready": True})
        before = self.observer.count("everest/modules/plain/ready")
        self.begin(modules={"plain": "Plain", "script": "Script", "late": "Late"}, until=None, only=["nothing"])
        for module in ("plain", "script", "hostile"):
            self.wait_for_ready(module, before + 1)
        self.manager.wait_for_log("it is a retained one")
        self.observer.ask({"type": "Get", "origin": "script", "request": {"type": "All"}})
        names = json.loads(self.broker.retained()["everest/module_names"])["data"]
        misled = ("ALL_MODULES_STARTED" in self.manager.status() or "evil" in names or
                  "everest/manifests/Evil" in self.broker.retained())
        self.stop_in_time()
        return misled

    def next_start_believes_lies(self, table):
        """The hostile module speaks before it is ready itself."""
        self.observer.close()
        self.observer = self.broker.observe()
        self.begin(modules={"plain": "Plain", "script": "Script", "late": "Late"}, early=True,
                   only=["ready of a module that is not"])
        for row in self.reports():
            self.later[row.key] = row
        believed = "ALL_MODULES_STARTED" in self.manager.status()
        self.settle(table, "bus only: ready of a module that is not", not believed, "-")
        self.stop_in_time()
        return believed

    def end_by_shutdown(self, table):
        """Modules that obey end, and one end is the end of all."""
        self.begin(only=["shutdown"])
        self.later["bus only: shutdown"] = Row("bus only", "shutdown", "outside")
        code = self.manager.wait()
        self.settle(table, "bus only: shutdown", code == 0, "-", f"the charger ended with {code}")
        self.assertEqual(self.prefix.processes(), [])


if __name__ == "__main__":
    atexit.register(print_total)
    harness.main()
