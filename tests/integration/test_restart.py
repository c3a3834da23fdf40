# SPDX-License-Identifier: Apache-2.0
"""A module that ends by itself is started again, alone, where belay.yaml says so."""

import json
import os
import signal

import harness
from harness import START, STOP, Prefix, alive, wait_until
from mqtt import Broker

MODULES = {"store": "Thing", "example": "Thing", "example_user": "Thing"}
CRASH = ["MANAGER_SHUTDOWN_REQUESTED", "MANAGER_CRASH_SHUTDOWN_IN_PROGRESS", "MANAGER_FORCE_TERMINATING",
         "MANAGER_SHUTDOWN_FINALIZING"]
MOST_MS = 20  # from the end of its backoff until the successor executes


class Restart(harness.Case):
    def begin(self, restart, until="ALL_MODULES_STARTED", whom="example"):
        self.timeline = self.scratch / "timeline"
        self.prefix.write("etc/everest/belay.yaml", json.dumps({"modules": {whom: {"restart": restart}}}))
        config = self.prefix.configure(MODULES, run_as_user="everest", **self.broker.settings)
        self.manager = self.start(self.prefix, config, "--timeline", str(self.timeline))
        if until:
            self.manager.wait_for(until)

    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.observer = self.broker.observe()

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
        self.assertRegex(self.manager.log, r"example: ended: killed by SIGKILL \(9\); restart 1 of 5 in 0\.1 s")
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
        self.assertIn("example: ended: exit code 7, which counts as success", self.manager.log)
        self.assertNotIn("example", self.manager.module_pids())
        self.manager.send(signal.SIGINT)
        self.check_end(START + STOP, 0)

    def test_success_before_a_second_ready_holds_nobody_up(self):
        """The successor of one module ends before it is ready; the successor of another still gets the announcement."""
        self.begin({"policy": "on-failure", "delay": 0.1}, whom="*")
        self.prefix.behave(example={"exit_before_ready": 0})
        self.kill("example")
        self.manager.wait_for_log("example: ended: exit code 0, which counts as success")
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


if __name__ == "__main__":
    harness.main()
