# SPDX-License-Identifier: Apache-2.0
"""A module that ends by itself is started again, alone, where belay.yaml says so."""

import json
import os
import signal
import time

import harness
from harness import START, STOP, Prefix, alive, wait_until
from mqtt import Broker
from observer import envelope

MODULES = {"store": "Thing", "example": "Thing", "example_user": "Thing"}
CRASH = ["MANAGER_SHUTDOWN_REQUESTED", "MANAGER_CRASH_SHUTDOWN_IN_PROGRESS", "MANAGER_FORCE_TERMINATING",
         "MANAGER_SHUTDOWN_FINALIZING"]
AGAIN = ["MANAGER_STARTING_MODULES", "MANAGER_RUNNING", "ALL_MODULES_STARTED"]
MOST_MS = 20  # from the end of its backoff until the successor executes

# A module with a child that ignores SIGTERM, in the module's own session.
PARENT = """#!/usr/bin/python3
import os, signal, sys
prefix = sys.argv[sys.argv.index("--prefix") + 1]
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.execv("/usr/bin/python3", ["python3", "-c", "while True: __import__('time').sleep(1000)", prefix + "/",
                                  "deaf-child"])
os.execv(prefix + "/libexec/everest/standin", ["example:Parent"] + sys.argv[1:])
"""


class Case(harness.Case):
    def begin(self, restart, *options, until="ALL_MODULES_STARTED", whom="example", modules=MODULES, also=None, **more):
        """`whom` gets the policy `restart`, and `more` keys; `also`: further entries of belay.yaml's `modules`."""
        self.timeline = self.scratch / "timeline"
        policies = {whom: {**({"restart": restart} if restart else {}), **more}, **(also or {})}
        self.prefix.write("etc/everest/belay.yaml", json.dumps({"modules": policies}))
        config = self.prefix.configure(modules, run_as_user="everest", **self.broker.settings)
        self.manager = self.start(self.prefix, config, "--timeline", str(self.timeline), *options)
        if until:
            self.manager.wait_for(until)

    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.observer = self.broker.observe()

    def wait_for_count(self, line, count):
        wait_until(lambda: self.manager.status().count(line) == count, lambda: f"{line} {count} times: {self.manager}")

    def kill(self, module):
        pid = self.manager.module_pids()[module]
        os.kill(pid, signal.SIGKILL)
        return pid

    def events(self, kind, module="example"):
        lines = self.timeline.read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind and event.get("module") == module]

    def check_end(self, lines, code):
        self.assertEqual(self.manager.wait(), code, self.manager)
        self.assertEqual(self.manager.status(), lines, self.manager)
        self.assert_nothing_left(self.manager, self.broker)

    def hang(self, module, manager=None):
        """It does nothing any more, and does not react to SIGTERM."""
        pid = (manager or self.manager).module_pids()[module]
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: harness.status_of(pid)["State"].startswith("T"), f"{module} to be stopped")
        return pid


class Restart(Case):
    def test_killed_module_comes_back_alone(self):
        self.begin({"policy": "on-failure", "delay": 0.1})
        before = self.manager.module_pids()
        killed = self.kill("example")
        self.observer.wait("everest/modules/example/ready", 2)
        self.observer.wait("everest/ready", 2)
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == 2, "the second announcement")
        after = self.manager.module_pids()
        self.assertEqual({module for module in MODULES if before[module] != after[module]}, {"example"})
        self.assertEqual(before["example"], killed)
        report = [json.loads(one["payload"]) for one in self.observer.messages("standin/example/report")][-1]
        self.assertEqual((report["status"]["CapEff"], report["status"]["NoNewPrivs"]), ("0" * 16, "1"))
        self.assertIn(f"example (pid {killed}): ended: killed by SIGKILL (9); restart 1 of 5 in 0.1 s",
                      self.manager.log)
        late = self.events("executed")[-1]["t_ms"] - self.events("restarted")[-1]["t_ms"]
        self.assertLess(late, MOST_MS)
        self.manager.send(signal.SIGINT)
        self.check_end(START + ["ALL_MODULES_STARTED"] + STOP, 0)

    def test_too_many_restarts_stop_all(self):
        self.prefix.behave(example={"exit_before_ready": 3})
        self.begin({"policy": "always", "delay": 0.01, "burst": 3}, until=None)
        self.check_end(START[:2] + CRASH + ["MANAGER_EXITING"], 1)
        self.assertEqual(len(self.events("executed")), 4)
        self.assertIn("example: 3 restarts without a stable run are enough", self.manager.log)

    def test_success_is_not_restarted_and_not_waited_for(self):
        self.prefix.behave(example={"exit_before_ready": 7})
        self.begin({"policy": "on-failure", "success_exit_status": [7]})
        self.assertRegex(self.manager.log, r"example \(pid \d+\): ended: exit code 7, which counts as success")
        self.assertNotIn("example", self.manager.module_pids())
        self.manager.send(signal.SIGINT)
        self.check_end(START + STOP, 0)

    def test_success_before_a_second_ready_holds_nobody_up(self):
        """The successor of one module ends before it is ready; the successor of another still gets the announcement."""
        self.begin({"policy": "on-failure", "delay": 0.1}, whom="*")
        self.prefix.behave(example={"exit_before_ready": 0})
        self.kill("example")
        self.manager.wait_for_log("ended: exit code 0, which counts as success")
        announced = self.manager.status().count("ALL_MODULES_STARTED")
        self.kill("store")
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") > announced, "another announcement")
        self.manager.send(signal.SIGINT)
        self.assertEqual(self.manager.wait(), 0, self.manager)
        self.assert_nothing_left(self.manager, self.broker)

    def test_stop_while_a_restart_is_due(self):
        self.begin({"policy": "always", "delay": 600, "max_delay": 600})
        self.kill("example")
        self.manager.wait_for_log("restart 1 of 5 in")
        self.manager.send(signal.SIGINT)
        self.check_end(START + STOP, 0)
        self.assertEqual(len(self.events("executed")), 1)

    def test_a_daemon_does_not_outlive_its_module(self):
        notes = self.scratch / "notes"
        notes.mkdir()
        notes.chmod(0o777)
        self.prefix.script("Forker", "Forker", f"""#!/bin/sh
cd {notes}
for pid in $(cat strays); do [ ! -e /proc/$pid ] || echo $pid >>survivors; done
rm -f stray
(setsid sh -c 'sh -c "echo \\$\\$ >stray.new; mv stray.new stray; exec sleep 600 <&- >&- 2>&-" &' &)
until [ -s stray ]; do :; done
cat stray >>strays
exit 1
""")
        self.prefix.write("etc/everest/belay.yaml", json.dumps(
            {"modules": {"forker": {"restart": {"policy": "always", "delay": 0.1, "burst": 2}}}}))
        config = self.prefix.configure({"store": "Thing", "forker": "Forker"}, run_as_user="everest",
                                       **self.broker.settings)
        self.manager = self.start(self.prefix, config)
        self.check_end(START[:2] + CRASH + ["MANAGER_EXITING"], 1)
        strays = [int(line) for line in (notes / "strays").read_text().split()]
        self.assertEqual(len(strays), 3)
        self.assertFalse((notes / "survivors").exists(), "a daemon was there when its module was started again")
        self.assertEqual([pid for pid in strays if alive(pid)], [])

    def test_others_keep_everests_rule(self):
        self.begin({"policy": "always"})
        self.kill("store")
        self.check_end(START + CRASH + ["MANAGER_EXITING"], 1)

    def test_failed_start_is_judged_by_the_policy(self):
        """A program that cannot be executed is tried again at once, as often as it may; then EVerest's rule holds."""
        self.prefix.module("Broken")
        program = self.prefix.modules / "Broken/Broken"
        program.write_bytes(program.read_bytes().replace(b"/ld-linux", b"/ld-absent"))
        self.begin({"policy": "on-failure", "delay": 0, "burst": 3}, whom="Broken", until=None,
                   modules={"store": "Thing", "example": "Broken"})
        self.check_end(START[:2] + CRASH + ["MANAGER_EXITING"], 1)
        self.assertRegex(self.manager.log, r"example: not started: could not execute.*; restart 3 of 3 in 0\.0 s")
        self.assertEqual(len(self.events("restarted")), 3)


class All(Case):
    """`scope: all`: the status lines are those of EVerest's crash recovery (observed-lifecycle.md)."""

    def pids(self):
        return {module: self.manager.module_pids()[module] for module in MODULES}

    def check_successors(self, before, number):
        """All have run anew, and were told everything as before."""
        self.wait_for_count("ALL_MODULES_STARTED", number)
        after = self.pids()
        self.assertEqual([module for module in MODULES if before[module] == after[module]], [])
        self.observer.wait("everest/ready", number)
        for module in MODULES:
            self.observer.wait(f"everest/modules/{module}/ready", number)
        self.observer.fence()
        manifests = self.observer.messages("everest/manifests/Thing")
        self.assertEqual(sum(one["payload"] != "" for one in manifests), number)
        self.assertEqual(self.broker.retained(), {})
        self.assertFalse(any(map(harness.alive, before.values())))

    def test_killed_module_takes_all_along(self):
        self.begin({"policy": "on-failure", "scope": "all", "delay": 0.1})
        before, own = self.pids(), self.manager.manager_pid()
        self.kill("example")
        self.check_successors(before, 2)
        self.assertEqual(self.manager.manager_pid(), own)
        self.assertRegex(self.manager.log, r"example \(pid \d+\): ended: killed by SIGKILL \(9\); restart 1 of 5: all "
                                           r"modules are stopped, and started again 0\.1 s later")
        self.manager.send(signal.SIGINT)
        self.check_end(START + CRASH + ["CRASH_RECOVERY_ATTEMPT:1/5"] + AGAIN + STOP, 0)

    def test_asked_to_shut_down_first(self):
        self.begin({"policy": "on-failure", "scope": "all", "delay": 0.1}, "--graceful-shutdown")
        before = self.pids()
        self.kill("example")
        self.check_successors(before, 2)
        self.assertEqual(self.observer.count("everest/shutdown"), 1)
        self.manager.send(signal.SIGINT)
        self.check_end(START + CRASH[:2] + CRASH[3:] + ["CRASH_RECOVERY_ATTEMPT:1/5"] + AGAIN +
                       ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_REQUESTED", "MANAGER_SHUTDOWN_FINALIZING",
                        "ALL_MODULES_STOPPED_CLEAN", "MANAGER_EXITING"], 0)

    def test_a_hung_neighbour_is_killed(self):
        self.begin({"policy": "on-failure", "scope": "all", "delay": 0}, whom="*", shutdown={"timeout": 0.3})
        before = self.pids()
        self.hang("store")
        self.kill("example")
        self.check_successors(before, 2)
        self.assertIn(f"store (pid {before['store']}): did not end within 0.3 s of SIGTERM", self.manager.log)
        self.manager.send(signal.SIGINT)
        self.check_end(START + CRASH + ["CRASH_RECOVERY_ATTEMPT:1/5"] + AGAIN + STOP, 0)

    def test_too_many_restarts_stop_all(self):
        self.begin({"policy": "always", "scope": "all", "delay": 0.01, "burst": 3})
        for number in range(1, 5):
            self.wait_for_count("ALL_MODULES_STARTED", number)
            self.kill("example")
        lines = list(START)
        for attempt in range(1, 4):
            lines += CRASH + [f"CRASH_RECOVERY_ATTEMPT:{attempt}/3"] + AGAIN
        self.check_end(lines + CRASH + ["CRASH_RECOVERY_EXHAUSTED", "MANAGER_EXITING"], 1)
        self.assertIn("example: 3 restarts without a stable run are enough", self.manager.log)

    def test_signal_while_a_restart_is_due(self):
        self.begin({"policy": "always", "scope": "all", "delay": 600, "max_delay": 600})
        self.kill("example")
        self.manager.wait_for("MANAGER_SHUTDOWN_FINALIZING")
        wait_until(lambda: self.manager.module_pids() == {}, "the end of all modules")
        self.assertEqual(self.broker.retained(), {})
        self.manager.send(signal.SIGINT)
        self.check_end(START + CRASH + ["SIGINT_RECEIVED", "MANAGER_EXITING"], 0)

    def test_signal_while_all_are_stopped(self):
        """The operator's word counts: nothing is started again, and that is no failure."""
        self.begin({"policy": "always", "scope": "all"}, shutdown={"timeout": 1}, whom="*")
        self.hang("store")
        self.kill("example")
        self.manager.wait_for("MANAGER_FORCE_TERMINATING").send(signal.SIGINT)
        self.check_end(START + CRASH[:3] + ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_FINALIZING", "MANAGER_EXITING"], 0)
        self.assertNotIn("starting all", self.manager.log)

    def test_broker_dies_while_a_restart_is_due(self):
        self.begin({"policy": "always", "scope": "all", "delay": 600, "max_delay": 600})
        self.kill("example")
        self.manager.wait_for("MANAGER_SHUTDOWN_FINALIZING")
        self.broker.kill()
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertEqual(self.manager.status(), START + CRASH + ["MANAGER_EXITING"])
        self.assertIn("the connection to the MQTT broker is lost", self.manager.log)
        self.assertEqual(self.prefix.processes(), [])

    def test_crash_while_another_restarts_alone(self):
        """The set is started again as a whole: the one that was due alone is not started twice."""
        self.begin({"policy": "always", "delay": 0.5}, whom="store",
                   also={"example": {"restart": {"policy": "always", "scope": "all", "delay": 0.01}}})
        pid = self.kill("store")
        self.manager.wait_for_log(f"store (pid {pid}): ended: killed by SIGKILL (9); restart 1 of 5")
        self.kill("example")
        self.wait_for_count("ALL_MODULES_STARTED", 2)
        time.sleep(0.6)  # the restart of `store` alone would have been due by now
        self.assertEqual(len(self.events("executed", "store")), 2)
        self.manager.send(signal.SIGINT)
        self.check_end(START + CRASH + ["CRASH_RECOVERY_ATTEMPT:1/5"] + AGAIN + STOP, 0)


class Startup(Case):
    """`startup: {timeout: …}`: a module that is not ready in time has failed."""

    LATE = r"example \(pid \d+\): not ready within 0\.5 s of its start: no ModuleReady came on " \
           r"everest/modules/example/ready; ending it"

    def test_everests_rule(self):
        self.prefix.behave(example={"never_ready": True})
        self.begin(None, until=None, startup={"timeout": 0.5})
        self.check_end(START[:2] + CRASH + ["MANAGER_EXITING"], 1)
        self.assertRegex(self.manager.log, self.LATE)
        self.assertRegex(self.manager.log, r"example \(pid \d+\): ended unexpectedly: not ready in time, killed by "
                                           r"SIGTERM \(15\), 0\.\d s after its start, before it was ready; stop")

    def test_started_again(self):
        """It hangs once; its successor is ready in time, and stays."""
        self.prefix.behave(example={"never_ready": True})
        self.begin({"policy": "on-failure", "delay": 0.01}, until=None, startup={"timeout": 0.5})
        self.manager.wait_for_log("; ending it")
        self.prefix.behave()
        self.manager.wait_for("ALL_MODULES_STARTED")
        self.assertRegex(self.manager.log, self.LATE)
        self.assertRegex(self.manager.log, r"example \(pid \d+\): ended: not ready in time, killed by SIGTERM \(15\); "
                                           r"restart 1 of")
        pid = self.manager.module_pids()["example"]
        time.sleep(0.6)  # longer than the timeout, which must not strike who was ready
        self.assertEqual(self.manager.module_pids()["example"], pid)
        self.manager.send(signal.SIGINT)
        self.check_end(START + STOP, 0)

    def test_killed_if_it_is_deaf(self):
        self.prefix.behave(example={"never_ready": True, "ignore_term": True})
        self.begin(None, until=None, startup={"timeout": 0.5}, shutdown={"timeout": 0.3})
        self.check_end(START[:2] + CRASH + ["MANAGER_EXITING"], 1)
        self.assertRegex(self.manager.log, r"example \(pid \d+\): did not end within 0\.3 s of SIGTERM; killing it")
        self.assertIn("not ready in time, killed by SIGKILL (9)", self.manager.log)

    def test_ready_too_late(self):
        """It says that it is ready after its end has begun: that does not count."""
        self.prefix.behave(example={"never_ready": True, "ignore_term": True})
        self.begin(None, until=None, startup={"timeout": 0.5}, shutdown={"timeout": 1})
        self.manager.wait_for_log("; ending it")
        self.observer.publish("everest/modules/example/ready", envelope("ModuleReady", True))
        self.check_end(START[:2] + CRASH + ["MANAGER_EXITING"], 1)

    def test_with_all(self):
        self.prefix.behave(example={"never_ready": True})
        self.begin({"policy": "on-failure", "scope": "all", "delay": 0.01, "burst": 1}, until=None,
                   startup={"timeout": 0.3})
        self.check_end(START[:2] + CRASH + ["CRASH_RECOVERY_ATTEMPT:1/1"] + AGAIN[:1] + CRASH +
                       ["CRASH_RECOVERY_EXHAUSTED", "MANAGER_EXITING"], 1)

    def test_a_stop_is_no_failure(self):
        self.prefix.behave(example={"never_ready": True, "ignore_shutdown": True})
        self.begin(None, "--graceful-shutdown", until=None, startup={"timeout": 0.8}, shutdown={"timeout": 1.5},
                   whom="*")
        self.observer.wait("everest/modules/store/ready")
        self.observer.wait("everest/modules/example_user/ready")
        self.manager.send(signal.SIGINT)
        self.check_end(START[:2] + ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_REQUESTED", "MANAGER_FORCE_TERMINATING",
                                    "FORCE_SHUTDOWN_TIMEOUT", "MANAGER_SHUTDOWN_FINALIZING", "MANAGER_EXITING"], 0)
        self.assertNotIn("not ready within", self.manager.log)


class Shutdown(Case):
    """`shutdown: {timeout: …}`: from SIGTERM until SIGKILL, for each module its own."""

    def stop_and_measure(self, *modules):
        """Seconds until each is dead."""
        pids = {module: self.manager.module_pids()[module] for module in modules}
        begin = time.monotonic()
        self.manager.send(signal.SIGTERM)
        result = {}
        for module in modules:
            wait_until(lambda: not harness.alive(pids[module]), f"the end of {module}")
            result[module] = time.monotonic() - begin
        return result

    def test_each_has_its_own(self):
        self.begin(None, shutdown={"timeout": 0.5}, also={"*": {"shutdown": {"timeout": 2}}})
        self.hang("example")
        self.hang("store")
        ended = self.stop_and_measure("example", "store")
        self.check_end(START + STOP, 0)
        self.assertGreater(ended["example"], 0.5)
        self.assertGreater(ended["store"], 2)
        self.assertLess(ended["example"], ended["store"] - 1)
        self.assertRegex(self.manager.log, r"example \(pid \d+\): did not end within 0\.5 s of SIGTERM; killing it and")

    def test_longer_than_the_launcher_had(self):
        """A module that needs more than 5 s gets them, also from the launcher when the manager is gone."""
        managers, hung = [], []
        for prefix in (self.prefix, Prefix.small(self.scratch / "other")):
            prefix.write("etc/everest/belay.yaml", "modules: {example: {shutdown: {timeout: 20}}}\n")
            config = prefix.configure(MODULES, run_as_user="everest", mqtt_everest_prefix=f"charger{len(managers)}",
                                      **self.broker.settings)
            managers.append(self.start(prefix, config).wait_for("ALL_MODULES_STARTED"))
            hung.append(self.hang("example", managers[-1]))
        begin = time.monotonic()
        managers[0].send(signal.SIGTERM)
        os.kill(managers[1].manager_pid(), signal.SIGKILL)
        wait_until(lambda: all(list(one.module_pids()) == ["example"] for one in managers), "the end of the others")
        wait_until(lambda: time.monotonic() - begin > 5.3 or not all(map(harness.alive, hung)), "time to pass")
        self.assertTrue(all(map(harness.alive, hung)), "killed before its time")
        for pid in hung:
            os.kill(pid, signal.SIGCONT)
        self.assertEqual([one.wait() for one in managers], [0, 1])
        self.assertLess(time.monotonic() - begin, 15)
        self.assertEqual([one.prefix.processes() for one in managers], [[], []])

    def with_argument(self, text):
        found = []
        for pid in self.prefix.processes():
            try:
                found += [pid] if text in harness.argv_of(pid) else []
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended meanwhile
        return found

    def test_whole_tree(self):
        """What a module has started is killed with it."""
        self.prefix.script("Parent", "Parent", PARENT)
        self.begin(None, modules={"store": "Thing", "example": "Parent"}, shutdown={"timeout": 0.3})
        child = wait_until(lambda: next(iter(self.with_argument("deaf-child")), 0), "the child")
        self.hang("example")
        self.manager.send(signal.SIGTERM)
        wait_until(lambda: not harness.alive(child), "the end of the child")
        self.check_end(START + STOP, 0)


if __name__ == "__main__":
    harness.main()
