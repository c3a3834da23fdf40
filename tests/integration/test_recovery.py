# SPDX-License-Identifier: Apache-2.0
"""A charger that stays: idle without modules, all started again after a crash, and back with its broker."""

import json
import os
import pathlib
import signal
import time

import harness
from harness import START, STOP, Prefix, wait_until
from mqtt import Broker

MODULES = {"store": "Thing", "example": "Thing", "example_user": "Thing"}
CRASH = ["MANAGER_SHUTDOWN_REQUESTED", "MANAGER_CRASH_SHUTDOWN_IN_PROGRESS", "MANAGER_FORCE_TERMINATING",
         "MANAGER_SHUTDOWN_FINALIZING"]
AGAIN = ["MANAGER_STARTING_MODULES", "MANAGER_RUNNING", "ALL_MODULES_STARTED"]
IDLE = ["MANAGER_INITIALIZING", "MANAGER_IDLE"]
END_IDLE = ["SIGINT_RECEIVED", "MANAGER_EXITING"]


def attempt(number):
    return [f"CRASH_RECOVERY_ATTEMPT:{number}/3"]


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.observer = self.broker.observe()

    def begin(self, *options, modules=MODULES, until="ALL_MODULES_STARTED", belay=None):
        if belay is not None:
            self.prefix.write("etc/everest/belay.yaml", json.dumps(belay))
        config = self.prefix.configure(modules, run_as_user="everest", **self.broker.settings)
        self.manager = self.start(self.prefix, config, *options)
        if until:
            self.manager.wait_for(until)
        return self.manager

    def wait_for_count(self, line, count, timeout=harness.PATIENCE):
        wait_until(lambda: self.manager.status().count(line) == count, lambda: f"{line} {count} times: {self.manager}",
                   timeout)

    def kill(self, module):
        pid = self.manager.module_pids()[module]
        os.kill(pid, signal.SIGKILL)
        return pid

    def check(self, lines, code):
        self.assertEqual(self.manager.wait(), code, self.manager)
        self.assertEqual(self.manager.status(), lines, self.manager)
        self.assert_nothing_left(self.manager, self.broker)


class Idle(Case):
    def end(self, number):
        self.manager.send(number)
        self.check(IDLE + END_IDLE, 0)

    def test_into_idle(self):
        self.begin("--into-idle", until="MANAGER_IDLE")
        self.assertEqual(self.manager.module_pids(), {})
        self.assertEqual(self.broker.retained(), {})
        self.end(signal.SIGINT)

    def test_into_idle_without_modules(self):
        self.begin("--into-idle", modules={}, until="MANAGER_IDLE")
        self.end(signal.SIGINT)

    def test_idle_on_failure_without_modules(self):
        self.begin("--idle-on-failure", modules={}, until="MANAGER_IDLE")
        self.assertIn("there is no module to start", self.manager.log)
        self.end(signal.SIGTERM)

    def test_idle_on_failure_starts_what_there_is(self):
        self.begin("--idle-on-failure").send(signal.SIGINT)
        self.check(START + STOP, 0)

    def test_configuration_requests_are_answered(self):
        self.begin("--into-idle", until="MANAGER_IDLE")
        answer = self.observer.ask({"type": "Get", "origin": "store", "request": {"type": "Module"}})
        self.assertEqual(answer["status"], "Ok")
        self.assertEqual(answer["response"]["data"]["module_config"]["module_id"], "store")
        self.end(signal.SIGINT)

    def test_the_launcher_keeps_nothing_for_modules(self):
        """What is never started takes no privileges."""
        self.begin("--into-idle", modules={"store": {"module": "Thing", "capabilities": ["CAP_NET_RAW"]}},
                   until="MANAGER_IDLE")
        kept = 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8  # CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP: for a reload
        wait_until(lambda: int(harness.status_of(self.manager.pid)["CapPrm"], 16) == kept,
                   lambda: harness.status_of(self.manager.pid))
        self.end(signal.SIGINT)

    def test_invalid_configuration(self):
        """As EVerest's: exit code 1, whatever was said about idling, after the first line."""
        for options in ([], ["--into-idle"], ["--idle-on-failure"]):
            self.begin(*options, modules={"store": "Nothing"}, until=None)
            self.check(IDLE[:1], 1)
            self.assertIn("the configuration is invalid", self.manager.log)

    def test_the_broker_dies(self):
        self.begin("--into-idle", until="MANAGER_IDLE")
        self.broker.kill()
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertEqual(self.manager.status(), IDLE + ["MANAGER_EXITING"])

    def test_the_broker_comes_back(self):
        self.begin("--into-idle", "--recover-module-crashes", until="MANAGER_IDLE")
        self.broker.kill()
        self.manager.wait_for_log("waiting for the MQTT broker")
        self.broker.start()
        wait_until(lambda: self.manager.log.count("connected to the MQTT broker") == 2, lambda: str(self.manager))
        answer = self.broker.observe().ask({"type": "Get", "origin": "store", "request": {"type": "Module"}})
        self.assertEqual(answer["status"], "Ok")
        self.end(signal.SIGINT)


class Crash(Case):
    """--recover-module-crashes."""

    def test_later_sigint(self):
        self.begin("--recover-module-crashes")
        self.kill("example")
        self.wait_for_count("ALL_MODULES_STARTED", 2)
        self.manager.send(signal.SIGINT)
        self.check(START + CRASH + attempt(1) + AGAIN + STOP, 0)

    def crash_four_times(self, *options, until=None):
        """Whichever module it is: all are counted together, and nothing is forgotten."""
        self.begin("--recover-module-crashes", *options)
        for count, module in enumerate(("example", "store", "store", "example_user"), 1):
            self.wait_for_count("ALL_MODULES_STARTED", count)
            self.kill(module)
        lines = START[:]
        for number in (1, 2, 3):
            lines += CRASH + attempt(number) + AGAIN
        return lines + CRASH + ["CRASH_RECOVERY_EXHAUSTED"]

    def test_exhausted(self):
        lines = self.crash_four_times()
        self.check(lines + ["MANAGER_EXITING"], 1)
        self.assertIn("example_user: 3 restarts are enough", self.manager.log)

    def test_exhausted_and_idle(self):
        lines = self.crash_four_times("--idle-on-failure")
        self.manager.wait_for("MANAGER_IDLE")
        self.assertEqual(self.manager.module_pids(), {})
        self.assertEqual(self.broker.retained(), {})
        answer = self.observer.ask({"type": "Get", "origin": "store", "request": {"type": "Module"}})
        self.assertEqual(answer["status"], "Ok")
        self.manager.send(signal.SIGINT)
        self.check(lines + ["MANAGER_IDLE"] + END_IDLE, 0)

    def test_idle_on_failure_alone_is_no_recovery(self):
        self.begin("--idle-on-failure")
        self.kill("example")
        self.check(START + CRASH + ["MANAGER_EXITING"], 1)

    def test_success_counts_as_a_crash(self):
        self.prefix.behave(example={"exit_before_ready": 0})
        self.begin("--recover-module-crashes", until=None)
        again = AGAIN[:1]
        self.check(START[:2] + sum((CRASH + attempt(number) + again for number in (1, 2, 3)), []) + CRASH +
                   ["CRASH_RECOVERY_EXHAUSTED", "MANAGER_EXITING"], 1)

    def test_belay_yaml_has_the_last_word(self):
        self.begin("--recover-module-crashes",
                   belay={"modules": {"example": {"restart": {"policy": "always", "delay": 0}},
                                      "store": {"restart": {"policy": "never"}}}})
        self.kill("example")
        self.wait_for_count("ALL_MODULES_STARTED", 2)
        self.kill("example_user")
        self.wait_for_count("ALL_MODULES_STARTED", 3)
        self.kill("store")
        self.check(START + ["ALL_MODULES_STARTED"] + CRASH + attempt(1) + AGAIN + CRASH + ["MANAGER_EXITING"], 1)


class Outage(Case):
    """The broker goes while recovery is on."""

    def lose_broker(self, count):
        pids = self.manager.module_pids()
        self.broker.kill()
        self.wait_for_count("MANAGER_SHUTDOWN_FINALIZING", count)
        # What a stand-in has forked to try things out may take a moment longer than itself.
        wait_until(lambda: not self.manager.module_pids(), lambda: str(self.manager))
        return pids

    def check_back(self, lines):
        self.manager.send(signal.SIGINT)
        self.check(lines + STOP, 0)
        self.assertNotIn("ended unexpectedly", self.manager.log)

    def test_again_and_again(self):
        """More often than crashes are forgiven: an outage is no crash."""
        self.begin("--recover-module-crashes")
        lines = START[:]
        for count in range(1, 6):
            before = self.lose_broker(count)
            self.broker.start()
            self.wait_for_count("ALL_MODULES_STARTED", count + 1)
            after = self.manager.module_pids()
            self.assertEqual(set(after), set(MODULES))
            self.assertFalse(set(before.values()) & set(after.values()))
            lines += CRASH + attempt(1) + AGAIN
        self.assertEqual(len(os.listdir(f"/proc/{self.manager.manager_pid()}/fd")), self.descriptors())
        self.check_back(lines)

    def descriptors(self):
        """Of a manager that has not lost a broker."""
        config = self.prefix.configure(MODULES, name="other", run_as_user="everest", mqtt_everest_prefix="other",
                                       **self.broker.settings)
        other = self.start(self.prefix, config)
        other.wait_for("ALL_MODULES_STARTED")
        count = len(os.listdir(f"/proc/{other.manager_pid()}/fd"))
        self.assertEqual(other.stop(), 0)
        return count

    def test_belay_yaml_asks_for_it(self):
        for belay in ({"broker": {"recover": True}},
                      {"modules": {"*": {"restart": {"policy": "on-failure", "scope": "all"}}}}):
            self.begin(belay=belay)
            self.lose_broker(1)
            self.broker.start()
            self.wait_for_count("ALL_MODULES_STARTED", 2)
            self.check_back(START + CRASH + attempt(1) + AGAIN)

    def test_not_asked_for(self):
        for options, belay in (([], {"modules": {"*": {"restart": {"policy": "on-failure"}}}}),
                               (["--recover-module-crashes"], {"broker": {"recover": False}})):
            self.begin(*options, belay=belay)
            self.broker.kill()
            self.assertEqual(self.manager.wait(), 1, self.manager)
            self.assertEqual(self.manager.status()[-1], "MANAGER_EXITING")
            self.assertEqual(self.prefix.processes(), [])
            self.broker.start()

    def test_long_outage(self):
        self.begin("--recover-module-crashes", belay={"broker": {"connect_timeout": 1}})
        self.lose_broker(1)
        manager = self.manager.manager_pid()
        before = self.cpu_ticks(manager)
        time.sleep(6)  # longer than `connect_timeout`, which is for the first connection
        self.assertLess(self.cpu_ticks(manager) - before, 10)
        self.assertLessEqual(self.manager.log.count("waiting for the MQTT broker"), 2)
        self.broker.start()
        self.wait_for_count("ALL_MODULES_STARTED", 2)
        self.check_back(START + CRASH + attempt(1) + AGAIN)

    def cpu_ticks(self, pid):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def test_outage_without_end(self):
        self.begin("--recover-module-crashes", belay={"broker": {"reconnect_timeout": 1}})
        self.broker.kill()
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertEqual(self.manager.status(), START + CRASH + ["MANAGER_EXITING"], self.manager)
        self.assertIn("it did not come within 1 s", self.manager.log)
        self.assertEqual(self.prefix.processes(), [])

    def test_stop_during_an_outage(self):
        self.begin("--recover-module-crashes")
        self.lose_broker(1)
        self.manager.send(signal.SIGTERM)
        self.assertEqual(self.manager.wait(), 0, self.manager)
        self.assertEqual(self.manager.status(), START + CRASH + END_IDLE, self.manager)
        self.assertEqual(self.prefix.processes(), [])

    def test_outage_during_the_start(self):
        self.prefix.behave(store={"never_ready": True})
        self.begin("--recover-module-crashes", until=None)
        self.observer.wait("everest/modules/example/ready")
        self.lose_broker(1)
        self.prefix.behave()
        self.broker.start()
        self.manager.wait_for("ALL_MODULES_STARTED")
        self.check_back(START[:2] + CRASH + attempt(1) + AGAIN)

    def test_outages_without_a_start_in_between(self):
        self.prefix.behave(store={"never_ready": True})
        self.begin("--recover-module-crashes", until="MANAGER_STARTING_MODULES")
        lines = START[:2]
        for count in range(1, 4):
            self.wait_for_count("MANAGER_STARTING_MODULES", count)
            self.lose_broker(count)
            self.broker.start()
            lines += CRASH + attempt(count) + AGAIN[:1]
        self.wait_for_count("MANAGER_STARTING_MODULES", 4)
        self.broker.kill()
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertEqual(self.manager.status(), lines + CRASH + ["CRASH_RECOVERY_EXHAUSTED", "MANAGER_EXITING"])

    def test_broker_dies_in_the_middle_of_a_recovery(self):
        self.prefix.behave(store={"ignore_term": True})
        self.begin("--recover-module-crashes", belay={"modules": {"*": {"shutdown": {"timeout": 1}}}})
        self.kill("example")
        self.manager.wait_for("MANAGER_FORCE_TERMINATING")
        self.broker.kill()
        self.manager.wait_for_log("the connection to the MQTT broker is lost")
        self.broker.start()
        self.wait_for_count("ALL_MODULES_STARTED", 2)
        self.manager.send(signal.SIGINT)
        # Where modules end of it before the manager hears of it, they have been started again already.
        early = self.manager.status().count("MANAGER_STARTING_MODULES") == 3
        self.check(START + CRASH + attempt(1) + (AGAIN[:1] + CRASH + attempt(1) if early else []) + AGAIN + STOP, 0)

    def test_graceful_shutdown_has_nobody_to_tell(self):
        self.begin("--recover-module-crashes", "--graceful-shutdown")
        self.lose_broker(1)
        self.broker.start()
        self.wait_for_count("ALL_MODULES_STARTED", 2)
        self.manager.send(signal.SIGINT)
        self.assertEqual(self.manager.wait(), 0, self.manager)
        self.assertEqual(self.manager.status()[:len(START + CRASH)], START + CRASH)

    def test_hung_broker(self):
        """It keeps its connections and answers nothing; a module ends in the meantime."""
        self.begin("--recover-module-crashes")
        self.broker.suspend()
        self.kill("example")
        self.wait_for_count("MANAGER_SHUTDOWN_FINALIZING", 1)
        self.assertIn("the MQTT broker does not answer, and modules end", self.manager.log)
        self.manager.wait_for_log("waiting for the MQTT broker")
        self.broker.process.send_signal(signal.SIGCONT)
        self.wait_for_count("ALL_MODULES_STARTED", 2)
        self.check_back(START + CRASH + attempt(1) + AGAIN)


if __name__ == "__main__":
    harness.main()
