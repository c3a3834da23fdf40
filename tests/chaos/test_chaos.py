#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Whoever falls, whenever and however: nobody and nothing is left behind, and the log says of each end how it came.

The short form is for every day; BELAY_CHAOS=full is the long one. BELAY_CHAOS_SEED=N repeats a run's choices."""

import atexit
import collections
import os
import pathlib
import re
import signal
import sys
import time

for folder in ("integration", "attack"):
    sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / folder))
import world  # noqa: E402

if __name__ == "__main__":
    world.enter()

import harness  # noqa: E402
import report  # noqa: E402
from chaos_case import FULL, SEED, ChaosCase, memory_kb, processes  # noqa: E402
from harness import START, STOP, wait_until  # noqa: E402
from processes import descriptors  # noqa: E402
from stops import Stops  # noqa: E402, F401

FALLS = 10_000 if FULL else 300
WARM_UP = FALLS // 5  # then the memory is measured for the first time
SETS = 300 if FULL else 20
KILLS = 100 if FULL else 5
BROKERS = 50 if FULL else 5
MOST_GROWTH_KB = {"launcher": 128, "manager": 512}  # of the proportional set size, after the warm-up
CRASH = ["MANAGER_SHUTDOWN_REQUESTED", "MANAGER_CRASH_SHUTDOWN_IN_PROGRESS", "MANAGER_FORCE_TERMINATING",
         "MANAGER_SHUTDOWN_FINALIZING"]
HOW = {"segv": "killed by SIGSEGV (11)", "abort": "killed by SIGABRT (6)", "fpe": "killed by SIGFPE (8)",
       "kill": "killed by SIGKILL (9)", "exit-0": "exit code 0", "exit-3": "exit code 3", "exit-4": "exit code 4",
       "denied": "killed for calling swapoff"}
NO_CORE = r"(?:, no core: [^;]+)?"
ENDED = re.compile(r"^warning: (\w+) \(pid (\d+)\): ended: (.+?)" + NO_CORE +
                   r"; restart \d+ of 1000 in 0\.0 s, the others run on$", re.M)
# Module → what of the sandbox it has; all fall alike.
FALLERS = {"plain": None, "plain_too": None, "open": {"landlock": "off", "seccomp": "off"},
           "private": {"private_tmp": True}, "protected": {"protect_system": True}, "lonely": {"network": "loopback"},
           "devices": {"devices": []}, "strict": "strict", "narrow": {"seccomp": "strict"}, "stranger": None}
LISTED = ("strict", "narrow")
WITNESS = "witness"


class Falls(ChaosCase):
    def test_modules(self):
        """Ten modules fall, each in its way, while an eleventh runs on."""
        before = self.surroundings()
        self.tell_all(WARM_UP)
        self.begin([WITNESS, *FALLERS], until=None, policies=self.policies())
        self.wait_for_calm(WARM_UP)
        self.manager.wait_for("ALL_MODULES_STARTED")
        witness = self.manager.module_pids()[WITNESS]
        first = self.measure()
        self.tell_all(FALLS)
        for module, pid in self.manager.module_pids().items():
            if module != WITNESS:
                os.kill(pid, signal.SIGUSR1)
        self.wait_for_calm(FALLS)
        self.manager.wait_for("ALL_MODULES_STARTED")
        last = self.measure()
        self.assertEqual(self.manager.module_pids()[WITNESS], witness)
        self.assertEqual(self.manager.stop(), 0, self.manager)
        took = time.monotonic() - self.begin_s
        self.assert_nobody_left()
        self.check_log()
        lines = self.manager.status()
        self.assertEqual((lines[:4], lines[-5:]), (START, STOP))
        self.assertEqual(set(lines[4:-5]) - {"ALL_MODULES_STARTED"}, set())
        self.assert_as_before(before)
        self.check_growth(first, last, took)

    def test_all(self):
        """One module falls, and all are started again, each time."""
        before = self.surroundings()
        for module in self.MODULES:
            self.tell(module, SETS if module == "late" else 0)
        self.begin(self.MODULES, everyone={"restart": {"policy": "always", "scope": "all", "delay": 0, "burst": 1000}})
        wait_until(lambda: self.count_falls() == SETS, "the last fall", 300)
        wait_until(lambda: self.manager.status()[-1] == "ALL_MODULES_STARTED", lambda: f"{self.manager}")
        last = f"CRASH_RECOVERY_ATTEMPT:{SETS}/1000"
        wait_until(lambda: self.manager.status()[-4:] == [last, *START[1:]], lambda: f"{self.manager}")
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.assert_nobody_left()
        lines = self.manager.status()
        attempts = [line for line in lines if line.startswith("CRASH_RECOVERY_ATTEMPT")]
        self.assertEqual(attempts, [f"CRASH_RECOVERY_ATTEMPT:{number}/1000" for number in range(1, SETS + 1)])
        self.assertEqual([line for line in lines if line in CRASH + attempts],
                         sum(([*CRASH, attempt] for attempt in attempts), []) + STOP[1:4])
        logged = re.findall(r"^error: late \(pid (\d+)\): ended: (.*?)" + NO_CORE + r"; restart \d+ of",
                            self.manager.log, re.M)
        self.assertEqual([(int(pid), how) for pid, how in logged],
                         [(fall.pid, HOW[fall.way]) for fall in self.falls("late")])
        self.assert_as_before(before)
        report.add("a module falls, all restart", SETS, time.monotonic() - self.begin_s, f"0 left, {SETS} logged")

    def tell_all(self, falls):
        for module in FALLERS:
            self.tell(module, falls // len(FALLERS), listed=module in LISTED)
        self.tell(WITNESS)

    def policies(self):
        sandboxes = {module: {"sandbox": sandbox} for module, sandbox in FALLERS.items() if sandbox}
        sandboxes["strict"] = {"sandbox": {"landlock": "strict", "seccomp": "strict", "write": [str(self.notes)]}}
        sandboxes["stranger"] = {"user": "dynamic", "groups": ["everest"]}
        sandboxes["protected"]["sandbox"]["write"] = [str(self.notes)]
        return sandboxes

    def wait_for_calm(self, falls):
        """All have fallen as often as they should, and stand, each with its daemon; nobody waits to be reaped, and the
        broker has nobody but the manager any more."""
        expected = len(self.companions()) + 2 + 2 * len(self.modules)

        def calm():
            if self.manager.process.poll() is not None:
                raise AssertionError(f"it ended: {self.manager}")
            states = [state for state, _ in processes().values()]
            return (self.count_falls() == falls and len(states) == expected and "Z" not in states
                    and self.connections() == 1)
        wait_until(calm, lambda: f"{self.count_falls()} of {falls} falls: {self.describe()}: {self.manager}", 600)

    def measure(self):
        launcher, manager = self.halves()
        return {"launcher": (descriptors(launcher), memory_kb(launcher)),
                "manager": (descriptors(manager), memory_kb(manager)), "surroundings": self.surroundings()}

    def check_log(self):
        """Of every fall, in the order of each module's, the log has module, pid and cause, and of nobody else."""
        logged = collections.defaultdict(list)
        for module, pid, how in ENDED.findall(self.manager.log):
            logged[module].append((int(pid), re.sub(r", core dumped$|(?<=swapoff) \(\d+\)$", "", how)))
        for module in FALLERS:
            falls = self.falls(module)
            self.assertEqual(len(falls), FALLS // len(FALLERS))
            self.assertEqual(logged.pop(module), [(fall.pid, HOW[fall.way]) for fall in falls], module)
            self.assertEqual([fall for fall in falls if fall.survivor != "-"], [], "somebody outlived a module")
        self.assertEqual(logged, {})
        self.assertEqual(self.manager.log.count("ended: "), FALLS)

    def check_growth(self, first, last, took):
        self.assertEqual(first["surroundings"], last["surroundings"])
        growth = {}
        for half, most in MOST_GROWTH_KB.items():
            self.assertEqual(first[half][0], last[half][0], f"descriptors of the {half}")
            growth[half] = last[half][1] - first[half][1]
            self.assertLess(growth[half], most, f"kB more memory of the {half}")
        report.add("modules fall, and are restarted", FALLS, took, f"0 left, {FALLS} logged, {FALLS / took:.0f}/s")
        for half in MOST_GROWTH_KB:
            report.add(f"  {half}", "", took, f"{sum(last[half][0].values())} descriptors, "
                       f"{last[half][1]} kB PSS, {growth[half]:+} kB")


class Killed(ChaosCase):
    """One of the halves is killed, at any moment of its life."""

    def repeat(self, count, once):
        """`once(phase)` as often as that; everything is then as it was."""
        before = self.surroundings()
        first = self.random.randrange(len(self.PHASES))
        for number in range(count):
            phase = self.PHASES[(first + number) % len(self.PHASES)]
            with self.subTest(number=number, phase=phase, seed=SEED):
                once(phase)
                self.assert_nobody_left()
                self.assert_logged()
            self.manager.close_fifo()
        self.clear()
        self.assert_as_before(before)

    def test_manager(self):
        def once(phase):
            _, manager = self.reach(phase)
            os.kill(manager, signal.SIGKILL)
            self.assertEqual(self.manager.wait(), 1, self.manager)
            self.assertRegex(self.manager.log, r"launcher: the manager .*; stopping all modules")
            self.assertIn(f"launcher: the manager (pid {manager}) was killed by SIGKILL (9)", self.manager.log)
            self.assertNotIn("MANAGER_EXITING", self.manager.status())
        self.repeat(KILLS, once)
        report.add("the manager is killed", KILLS, time.monotonic() - self.begin_s, "0 left, exit code 1, all logged")

    def test_launcher(self):
        def once(phase):
            launcher, _ = self.reach(phase)
            os.kill(launcher, signal.SIGKILL)
            self.assertEqual(self.manager.wait(), -signal.SIGKILL)
            self.assert_nobody_left()
            self.assertRegex(self.manager.log, r"critical: the launcher is gone: .*; killed \d modules?")
            self.assertEqual(self.manager.status()[-1:], ["MANAGER_EXITING"], self.manager)
        self.repeat(KILLS, once)
        report.add("the launcher is killed", KILLS, time.monotonic() - self.begin_s, "0 left, all logged")

    def test_broker(self):
        """The manager ends for systemd; the next one finds the broker, which has forgotten everything."""
        def once(phase):
            if phase == "initializing":
                return self.broker_comes_late()
            self.reach(phase)
            self.broker.kill()
            self.assertEqual(self.manager.wait(), 0 if phase == "stopping" else 1, self.manager)
            self.assertIn("error: the connection to the MQTT broker is lost: ", self.manager.log)
            lines = self.manager.status()
            self.assertEqual(lines[-2:], ["MANAGER_SHUTDOWN_FINALIZING", "MANAGER_EXITING"], self.manager)
            if phase == "running":
                self.assertEqual(lines, START + CRASH + ["MANAGER_EXITING"])
            self.assert_nobody_left()
            self.broker.start()
        before_s = time.monotonic()
        self.repeat(BROKERS, once)
        report.add("the broker is restarted", BROKERS, time.monotonic() - before_s, "0 left, exit codes as promised")

    def broker_comes_late(self):
        self.broker.kill()
        self.reach("initializing")
        self.broker.start()
        self.manager.wait_for("ALL_MODULES_STARTED")
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.assertEqual(self.manager.status(), START + STOP)


if __name__ == "__main__":
    atexit.register(report.show)
    harness.main()
