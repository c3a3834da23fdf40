# SPDX-License-Identifier: Apache-2.0
"""Whoever is stopped (SIGSTOP), in whichever phase: what can go on goes on, what was asked to stop ends in time, and
who is continued catches up."""

import contextlib
import os
import signal
import time

import harness
import report
from chaos_case import FULL, SEED, ChaosCase, processes
from harness import START, STOP, wait_until
from mqtt import Broker

ROUNDS = 5 if FULL else 1
PHASES = ["starting", "running", "stopping"]
LINES = {"starting": START[:2] + STOP, "running": START + STOP, "stopping": START + STOP}
KILLED = r"{} \(pid {}\): did not end within 0\.5 s of SIGTERM; killing it and what it started"
DEADLINE_S = 20  # four times the plan's timeout: what the launcher gives the manager for an orderly stop
STOP_S = 3  # for a stop in which one deadline or another runs out


def state_of(pid):
    return processes().get(pid, ("gone", 0))[0]


class Stops(ChaosCase):
    def test_everybody(self):
        """Each case. A manager that hangs for good takes longest, and is seen to in the end."""
        self.begin_hung_managers()
        cases = [(case, phase) for case, phases in self.CASES for phase in phases] * ROUNDS
        for case, phase in cases:
            with self.subTest(case=case.__name__, phase=phase, seed=SEED):
                self.run_case(case, phase)
        self.collect_hung_managers()
        self.clear()
        before = self.surroundings()
        self.clear()
        self.assert_as_before(before)
        report.add("SIGSTOP of anyone", len(cases) + len(self.hung), time.monotonic() - self.begin_s,
                   "0 left, 0 hang, exit codes as promised")

    def run_case(self, case, phase):
        try:
            case(self, phase)
            self.assert_nobody_left()
        finally:
            os.kill(self.broker.process.pid, signal.SIGCONT)
            for pid in set(processes()) - self.companions():  # where it failed
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.manager.process.wait()
            self.manager.close_fifo()

    # ---- What happens then ----

    def assert_stops(self, code, lines, most_s=STOP_S):
        begin = time.monotonic()
        self.assertEqual(self.manager.wait(), code, self.manager)
        self.assertLess(time.monotonic() - begin, most_s, self.manager)
        self.assertEqual(self.manager.status(), lines, self.manager)

    def stop(self, phase, most_s=STOP_S):
        """Asks for it, where `reach` has not."""
        if phase != "stopping":
            self.manager.send(signal.SIGINT)
        self.assert_stops(0, LINES[phase], most_s)

    def kill_module(self, module):
        pid = self.manager.module_pids()[module]
        os.kill(pid, signal.SIGKILL)
        return pid

    def assert_comes_back(self, module, pid):
        """Its end is logged, and its successor is ready."""
        self.manager.wait_for_log(f"{module} (pid {pid}): ended: killed by SIGKILL (9); restart 1 of 1000")
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == 2, lambda: f"{self.manager}")
        self.manager.send(signal.SIGINT)
        self.assert_stops(0, START + ["ALL_MODULES_STARTED"] + STOP)

    # ---- A module ----

    def module_for_good(self, phase):
        self.reach(phase)
        module = {"starting": "late", "running": "steady", "stopping": "slow"}[phase]
        pid = self.freeze(wait_until(lambda: self.manager.module_pids().get(module), module))
        self.stop(phase)
        self.assertRegex(self.manager.log, KILLED.format(module, pid))
        self.assertIn(f"{module} (pid {pid}): ended while it was stopped: killed by SIGKILL (9)", self.manager.log)

    def module_for_a_while(self, phase):
        self.reach(phase)
        os.kill(self.freeze(self.manager.module_pids()["steady"]), signal.SIGCONT)
        self.stop(phase)
        self.assertNotIn("steady", self.manager.log)

    def module_before_it_executes(self, phase):
        """Anywhere between fork and exec: it has no name yet, and perhaps no process group."""
        self.reach(phase)
        steady = self.manager.module_pids()["steady"]
        known = set(processes())  # its daemon is about to be the launcher's child
        os.kill(steady, signal.SIGKILL)
        child = wait_for_child(self.manager, known)
        os.kill(child, signal.SIGSTOP)
        wait_until(lambda: harness.status_of(child)["State"].startswith("T"), "the new child to be stopped")
        self.manager.wait_for_log(f"steady (pid {steady}): ended: ")
        self.manager.send(signal.SIGINT)
        self.assert_stops(0, START + STOP)

    # ---- The manager ----

    def manager_for_a_while(self, phase):
        _, manager = self.reach(phase)
        self.freeze(manager)
        if phase != "stopping":
            self.manager.send(signal.SIGINT)
        os.kill(manager, signal.SIGCONT)
        self.assert_stops(0, LINES[phase])

    def manager_while_a_module_falls(self, phase):
        _, manager = self.reach(phase)
        self.freeze(manager)
        pid = self.kill_module("steady")
        wait_until(lambda: state_of(pid) == "gone", "the launcher to reap it")
        os.kill(manager, signal.SIGCONT)
        self.assert_comes_back("steady", pid)

    def manager_and_launcher_is_killed(self, phase):
        launcher, manager = self.reach(phase)
        self.freeze(manager)
        os.kill(launcher, signal.SIGKILL)
        self.assertEqual(self.manager.wait(), -signal.SIGKILL)
        self.assert_nobody_left()
        self.assertIn("critical: the launcher is gone", self.manager.log)
        self.assertEqual(self.manager.status()[-1], "MANAGER_EXITING")

    def manager_is_killed(self, phase):
        _, manager = self.reach(phase)
        os.kill(self.freeze(manager), signal.SIGKILL)
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertIn(f"launcher: the manager (pid {manager}) was killed by SIGKILL (9)", self.manager.log)

    # ---- The launcher ----

    def launcher_for_a_while(self, phase):
        launcher, _ = self.reach(phase)
        self.freeze(launcher)
        if phase != "stopping":
            self.manager.send(signal.SIGINT)
        os.kill(launcher, signal.SIGCONT)
        self.assert_stops(0, LINES[phase])

    def launcher_while_a_module_falls(self, phase):
        launcher, _ = self.reach(phase)
        self.freeze(launcher)
        pid = self.kill_module("steady")
        wait_until(lambda: state_of(pid) == "Z", "its end")
        os.kill(launcher, signal.SIGCONT)
        self.assert_comes_back("steady", pid)
        self.assertEqual(state_of(pid), "gone")

    def launcher_while_the_manager_falls(self, phase):
        launcher, manager = self.reach(phase)
        self.freeze(launcher)
        os.kill(manager, signal.SIGKILL)
        wait_until(lambda: state_of(manager) == "Z", "the manager's end")
        os.kill(launcher, signal.SIGCONT)
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertIn(f"launcher: the manager (pid {manager}) was killed by SIGKILL (9)", self.manager.log)

    def launcher_is_killed(self, phase):
        launcher, _ = self.reach(phase)
        os.kill(self.freeze(launcher), signal.SIGKILL)
        self.assertEqual(self.manager.wait(), -signal.SIGKILL)
        self.assert_nobody_left()
        self.assertEqual(self.manager.status()[-1], "MANAGER_EXITING")

    # ---- The broker ----

    def broker_before_the_start(self, phase):
        self.broker.suspend()
        self.reach(phase)
        self.manager.wait_for("MANAGER_INITIALIZING")
        os.kill(self.broker.process.pid, signal.SIGCONT)
        self.manager.wait_for("ALL_MODULES_STARTED")
        self.stop("running")

    def broker_before_the_start_and_stop(self, phase):
        self.broker.suspend()
        self.reach(phase)
        self.manager.wait_for("MANAGER_INITIALIZING")
        self.manager.send(signal.SIGINT)
        self.assert_stops(0, ["MANAGER_INITIALIZING", "SIGINT_RECEIVED", "MANAGER_EXITING"])
        os.kill(self.broker.process.pid, signal.SIGCONT)

    def broker_for_good(self, phase):
        """The operator's word does not wait for it."""
        self.reach(phase)
        self.broker.suspend()
        self.stop(phase)
        os.kill(self.broker.process.pid, signal.SIGCONT)

    def broker_while_a_module_falls(self, phase):
        """The manager asks it whether it is alive, waits a second for the answer, and goes on."""
        self.reach(phase)
        self.broker.suspend()
        pid = self.kill_module("steady")
        self.manager.wait_for_log(f"steady (pid {pid}): ended: killed by SIGKILL (9); restart 1 of 1000")
        os.kill(self.broker.process.pid, signal.SIGCONT)
        self.assert_comes_back("steady", pid)

    CASES = [(module_for_good, PHASES), (module_for_a_while, ["running"]), (module_before_it_executes, ["running"]),
             (manager_for_a_while, PHASES), (manager_while_a_module_falls, ["running"]),
             (manager_and_launcher_is_killed, PHASES), (manager_is_killed, PHASES),
             (launcher_for_a_while, PHASES), (launcher_while_a_module_falls, ["running"]),
             (launcher_while_the_manager_falls, ["running"]), (launcher_is_killed, PHASES),
             (broker_before_the_start, ["initializing"]), (broker_before_the_start_and_stop, ["initializing"]),
             (broker_for_good, PHASES), (broker_while_a_module_falls, ["running"])]

    # ---- A manager that hangs for good, and is asked to stop ----

    def begin_hung_managers(self):
        self.hung = {}
        self.hung_broker = Broker(self, "hung-broker")
        self.background.append(self.hung_broker.process)
        for phase in ["initializing", *PHASES]:
            module = f"{phase}_hung"
            self.tell(module, ready=phase != "starting", slow_ms=400 if phase == "stopping" else 0)
            self.configure([module])
            broker = self.hung_broker.settings if phase != "initializing" else {
                "mqtt_broker_socket_path": str(self.scratch / "nobody.sock")}
            config = self.prefix.configure({module: "Faller"}, phase, run_as_user="everest",
                                           mqtt_everest_prefix=f"{phase}/", **broker)
            self.manager = self.start(self.prefix, config)
            self.manager.wait_for({"initializing": "MANAGER_INITIALIZING", "starting": "MANAGER_STARTING_MODULES"}.get(
                phase, "ALL_MODULES_STARTED"))
            if phase == "stopping":
                self.manager.send(signal.SIGINT)
                self.manager.wait_for("MANAGER_FORCE_TERMINATING")
            pid = self.freeze(self.halves()[1])
            if phase != "stopping":
                self.manager.send(signal.SIGINT)
            self.hung[phase] = self.manager, pid, time.monotonic()
            self.background.append(self.manager)

    def collect_hung_managers(self):
        """The launcher ends it all, and says why."""
        for phase, (manager, pid, begin) in self.hung.items():
            with self.subTest(case="manager_for_good", phase=phase):
                self.assertEqual(manager.wait(DEADLINE_S + STOP_S), 1, manager)
                self.assertGreater(time.monotonic() - begin, DEADLINE_S - 1)
                self.assertIn("launcher: the manager did not stop in time; stopping all modules", manager.log)
                self.assertIn(f"launcher: the manager (pid {pid}) was killed by SIGKILL (9)", manager.log)
                self.assertNotIn("MANAGER_EXITING", manager.status())
                manager.close_fifo()
        self.hung_broker.kill()
        self.background = []
        self.assert_nobody_left()


def wait_for_child(manager, known):
    """The next one; there is no time to sleep."""
    for _ in range(200_000):
        for pid in harness.children_of(manager.pid):
            if pid not in known:
                return pid
    raise AssertionError(f"no new child: {manager}")
