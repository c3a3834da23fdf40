# SPDX-License-Identifier: Apache-2.0
"""Heartbeats, and the steps against what hangs: module, broker, manager. The hardware is in tests/system."""

import json
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import time

import harness
from harness import Prefix, status_of, wait_until
from mqtt import Broker

MODULES = {"store": "Thing", "example": "Thing", "example_user": "Thing"}
AGAIN = {"policy": "on-failure", "delay": 0.1}
WATCHDOG = {"timeout": 2, "heartbeat": 0.2}  # the launcher's patience is half the timeout
SO_PASSCRED = 16
SCM_CREDENTIALS = 2

# In state D until its child ends, and deaf to SIGABRT like everybody there; SIGKILL ends it.
STUCK = """#!/usr/bin/python3
import ctypes
libc = ctypes.CDLL(None)
if libc.vfork() == 0:
    while True:
        libc.pause()
"""

# Says WATCHDOG=1 three times; then a child of it goes on, who is not to be believed.
CHATTY = """#!/usr/bin/python3
import os, socket, time
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.connect(os.environ["NOTIFY_SOCKET"])
        one.send(text)
print("told", os.environ["WATCHDOG_USEC"], os.environ["WATCHDOG_PID"] == str(os.getpid()), flush=True)
for _ in range(3):
    say(b"STATUS=busy\\nWATCHDOG=1")
    time.sleep(0.2)
if os.fork() == 0:
    for _ in range(20):
        say(b"WATCHDOG=1")
        time.sleep(0.1)
time.sleep(1000)
"""

# Takes the name of the last socket as soon as there is a directory for it.
RACER = """
import os, sys
print("begins", flush=True)
os.chdir(sys.argv[1])
while True:
    for name in os.listdir():
        try:
            os.close(os.open(name + "/199", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            print("took", name, flush=True)
        except OSError:
            continue
"""


def switches_of(pid):
    status = status_of(pid)
    return int(status["voluntary_ctxt_switches"]) + int(status["nonvoluntary_ctxt_switches"])


class ServiceManager:
    """The receiving end of sd_notify(3)."""

    def __init__(self, case):
        path = case.scratch / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        case.addCleanup(self.socket.close)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_PASSCRED, 1)
        self.socket.bind(str(path))
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "2000000"}

    def receive(self, timeout=harness.PATIENCE):
        """Text and pid of the sender."""
        self.socket.settimeout(timeout)
        text, ancillary, _, _ = self.socket.recvmsg(4096, 64)
        [(_, kind, data)] = ancillary
        assert kind == SCM_CREDENTIALS
        return text.decode(), struct.unpack("3i", data)[0]

    def wait_for_watchdog(self):
        while True:
            text, sender = self.receive()
            if text == "WATCHDOG=1":
                return sender


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.state = self.scratch / "state"
        self.state.mkdir()
        self.runtime = self.scratch / "runtime"
        self.runtime.mkdir()

    def begin(self, policies=None, watchdog=None, modules=MODULES, until="ALL_MODULES_STARTED", environment=None, broker=None):
        policy = {"modules": policies or {}, **({} if watchdog is None else {"watchdog": watchdog}),
                  **({"broker": broker} if broker else {})}
        self.prefix.write("etc/everest/belay.yaml", json.dumps(policy))
        self.config = self.prefix.configure(modules, run_as_user="everest", **self.broker.settings)
        self.manager = self.start(self.prefix, self.config, environment={
            **harness.Manager.environment, "STATE_DIRECTORY": str(self.state), "RUNTIME_DIRECTORY": str(self.runtime),
            **(environment or {})})
        if until:
            self.manager.wait_for(until)

    def suspend(self, pid):
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: status_of(pid)["State"].startswith("T"), "it to be stopped")

    def steps(self):
        """The words and reasons, without their times."""
        return [line.partition(" ")[2] for line in (self.state / "watchdog-steps").read_text().splitlines()[1:]]

    def assert_step(self, pattern):
        wait_until(lambda: any(re.fullmatch(pattern, step) for step in self.steps()), lambda: (pattern, self.steps()))

    def last_reset(self):
        return subprocess.run([self.prefix.path / "bin/manager", "--prefix", self.prefix.path, "--last-reset"],
                              env={"STATE_DIRECTORY": str(self.state)}, check=True, capture_output=True, text=True).stdout


class Modules(Case):
    def test_stopped_module_is_aborted_and_comes_back_alone(self):
        self.begin({"*": {"restart": AGAIN, "liveness": {"stuck_after": 0.3}}}, WATCHDOG)
        before = self.manager.module_pids()
        pid = before["example"]
        self.suspend(pid)
        self.manager.wait_for_log(f"example (pid {pid}): hangs: stopped (state T) for ")
        wait_until(lambda: self.manager.successor("example", pid), lambda: f"its successor: {self.manager}")
        after = self.manager.module_pids()
        self.assertEqual({**after, "example": 0}, {**before, "example": 0})
        self.assertRegex(self.manager.log, rf"example \(pid {pid}\): ended: hung \(stopped \(state T\) for \S+ s\), "
                                           r"killed by SIGABRT \(6\).*; restart 1 of 5 ")
        self.assertEqual(self.manager.stop(), 0)
        self.assert_step(rf"abort-module example \(pid {pid}\): stopped \(state T\) for \S+ s")
        self.assert_step(rf"restart-module example \(pid {pid}\): hung .*")
        self.assertEqual(self.steps()[-1], "stopped in order")
        self.assert_nothing_left(self.manager, self.broker)

    def test_module_without_a_policy_takes_all_with_it(self):
        self.begin({"*": {"liveness": {"stuck_after": 0.3}}}, WATCHDOG)
        self.suspend(self.manager.module_pids()["example"])
        self.assertEqual(self.manager.wait(), 1)
        self.assert_step(r"exit example \(pid \d+\): hung .*")
        self.assert_nothing_left(self.manager, self.broker)

    def test_module_in_the_kernel_is_killed_where_sigabrt_has_no_effect(self):
        self.prefix.script("Stuck", "Stuck", STUCK)
        self.begin({"Stuck": {"restart": AGAIN, "shutdown": {"timeout": 0.3}, "liveness": {"stuck_after": 0.3}}}, WATCHDOG,
                   {"stuck": "Stuck"}, until=None)
        self.manager.wait_for_log("hangs: waiting in the kernel without progress (state D) for ")
        self.manager.wait_for_log("did not end within 0.3 s of SIGABRT; killing it and what it started")
        self.manager.wait_for_log("killed by SIGKILL (9); restart 1 of 5")
        self.assertEqual(self.manager.stop(), 0)
        self.assertEqual(self.prefix.processes(), [])

    def test_short_stops_are_nobodys_business(self):
        self.begin({"*": {"liveness": {"stuck_after": 0.5}}}, WATCHDOG)
        pid = self.manager.module_pids()["example"]
        for _ in range(6):
            self.suspend(pid)
            before = len(self.manager.log)
            os.kill(pid, signal.SIGCONT)
            wait_until(lambda: not status_of(pid)["State"].startswith("T"), "it to run")
            self.assertNotIn("hangs", self.manager.log[before:])
        self.assertEqual(self.manager.stop(), 0)
        self.assertNotIn("hangs", self.manager.log)

    def test_module_that_promised_to_call_and_does_not(self):
        self.prefix.script("Chatty", "Chatty", CHATTY)
        self.begin({"Chatty": {"restart": AGAIN, "liveness": {"watchdog": 0.7}}}, None, {"chatty": "Chatty"}, until=None)
        [directory] = wait_until(lambda: list(self.runtime.iterdir()), "the directory of the sockets")
        self.manager.wait_for_log("told 700000 True")
        status = (directory / "0").stat()
        self.assertEqual((stat.S_IMODE(status.st_mode), status.st_uid), (0o600, self.everest.pw_uid))
        self.assertEqual(stat.S_IMODE(directory.stat().st_mode), 0o711)
        self.manager.wait_for_log("hangs: no WATCHDOG=1 from it for 0.7 s; aborting it")
        self.assertRegex(self.manager.log, r"chatty: WATCHDOG= from pid \d+, which is not its main process, is ignored")
        self.manager.wait_for_log("killed by SIGABRT (6)")
        self.assertEqual(self.manager.stop(), 0)
        self.assertEqual(list(self.runtime.iterdir()), [])
        self.assertEqual(list(self.state.iterdir()), [], "without heartbeats there is no record")

    def test_no_user_gets_in_while_the_sockets_are_made(self):
        """The launcher refuses to start afterwards, so that the time in which they are made is the longest part."""
        modules = {f"module_{number}": "Thing" for number in range(200)}
        racer = subprocess.Popen(["/usr/bin/python3", "-c", RACER, self.runtime], user=65534, group=65534, extra_groups=[],
                                 stdout=subprocess.PIPE, text=True)
        self.addCleanup(racer.stdout.close)
        self.addCleanup(racer.wait)
        self.addCleanup(racer.kill)
        self.assertEqual(racer.stdout.readline(), "begins\n")
        self.begin({"*": {"liveness": {"watchdog": 30}}}, {"device": "/dev/watchdog77"}, modules, until=None)
        self.assertEqual(self.manager.wait(), 1)
        self.assertIn("launcher: the watchdog /dev/watchdog77: it is not there", self.manager.log)
        racer.kill()
        self.assertEqual(racer.stdout.read(), "")
        self.assertEqual(list(self.runtime.iterdir()), [])

    def test_sockets_that_cannot_be_made_leave_nothing_behind(self):
        """The unit starts again and again, and /run is memory."""
        self.runtime = self.runtime / ("x" * 80)
        self.runtime.mkdir()
        self.begin({"*": {"liveness": {"watchdog": 30}}}, until=None)
        self.assertEqual(self.manager.wait(), 1)
        self.assertRegex(self.manager.log, r"could not make a notify socket for `liveness: \{watchdog: ...\}`: .*/belay-\w+/0: "
                                           "File name too long")
        self.assertEqual(list(self.runtime.iterdir()), [])

    def test_what_a_killed_launcher_left_is_removed_by_the_next_one(self):
        for _ in range(2):
            self.begin({"*": {"liveness": {"watchdog": 30}}})
            [left] = self.runtime.iterdir()
            self.manager.send(signal.SIGKILL)
            self.manager.process.wait()
            wait_until(lambda: not self.prefix.processes(), "the modules to end")
        self.assertEqual(list(self.runtime.iterdir()), [left])
        self.begin({"*": {"liveness": {"watchdog": 30}}})
        self.assertEqual(self.manager.stop(), 0)
        self.assertEqual(list(self.runtime.iterdir()), [])

    def test_who_has_the_name_already_is_no_obstacle(self):
        self.begin({"*": {"liveness": {"watchdog": 30}}})
        [own] = self.runtime.iterdir()
        self.assertEqual(self.manager.stop(), 0)
        own.mkdir()
        (own / "kept").mkdir()
        self.begin({"*": {"liveness": {"watchdog": 30}}})
        self.assertEqual(len(list(self.runtime.iterdir())), 2)
        self.assertEqual(self.manager.stop(), 0)
        self.assertEqual(list(self.runtime.iterdir()), [own])

    def test_module_that_has_ended_is_not_waited_for_although_somebody_says_that_it_is_ready(self):
        """Everybody on the bus can say so; a successor that is to come later has its own time."""
        self.begin({"example": {"restart": {"policy": "on-failure", "delay": 2}, "liveness": {"watchdog": 0.5}}})
        before = self.manager.module_pids()
        os.kill(before["example"], signal.SIGKILL)
        self.manager.wait_for_log("killed by SIGKILL (9); restart 1 of 5")
        observer = self.broker.observe()
        observer.publish("everest/modules/example/ready", json.dumps({"msg_type": "ModuleReady", "data": True}))
        wait_until(lambda: self.manager.successor("example", before["example"]),
                   lambda: f"its successor: {self.manager}")
        after = self.manager.module_pids()
        self.assertEqual({**after, "example": 0}, {**before, "example": 0})
        self.assertNotIn("hangs", self.manager.log)
        self.assertEqual(self.manager.stop(), 0)


class Charger(Case):
    def test_manager_that_hangs_is_ended_with_all_modules(self):
        self.begin({}, WATCHDOG)
        self.suspend(self.manager.manager_pid())
        self.assertEqual(self.manager.wait(), 1)
        self.assertIn("launcher: the manager did not vouch for the modules for 1.0 s; stopping all modules", self.manager.log)
        self.assertEqual(self.steps()[1:], ["stop-all the manager did not vouch for the modules for 1.0 s",
                                            "exit code 1; the service manager decides what follows"])
        self.assertEqual(self.prefix.processes(), [])

    def test_broker_that_hangs(self):
        self.begin({}, WATCHDOG)
        self.broker.suspend()
        self.assertEqual(self.manager.wait(), 1)
        self.assertRegex(self.manager.log, r"the MQTT broker has not answered for \S+ s")
        self.assert_step(r"exit the MQTT broker has not answered for \S+ s")
        self.assertEqual(self.prefix.processes(), [])

    def test_broker_that_hangs_and_is_waited_for(self):
        self.begin({}, WATCHDOG, broker={"recover": True})
        self.broker.suspend()
        self.manager.wait_for("MANAGER_CRASH_SHUTDOWN_IN_PROGRESS")
        self.assert_step(r"restart-all the MQTT broker has not answered for \S+ s")
        os.kill(self.broker.process.pid, signal.SIGCONT)
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == 2, lambda: f"a second start: {self.manager}")
        self.assertEqual(self.manager.stop(), 0)

    def test_a_stop_that_takes_longer_than_the_timeout(self):
        """The manager hangs about, but it lives: heartbeats go on until all is over."""
        self.prefix.behave(example={"ignore_term": True})
        self.begin({"example": {"shutdown": {"timeout": 3}}}, WATCHDOG)
        self.assertEqual(self.manager.stop(), 0)
        self.assertEqual(self.steps()[-1], "stopped in order")
        self.assertNotIn("did not vouch", self.manager.log)

    def test_systemd_is_fed_by_the_launcher_alone_and_only_with_the_manager(self):
        systemd = ServiceManager(self)
        self.begin({}, None, environment=systemd.environment)
        for _ in range(3):
            self.assertEqual(systemd.wait_for_watchdog(), self.manager.pid)
        self.assertIn("systemd ends this service after 2 s without a heartbeat (WatchdogSec=)", self.manager.log)
        self.suspend(self.manager.manager_pid())
        self.assertEqual(self.manager.wait(), 1)
        self.assertIn("did not vouch for the modules for 1.0 s", self.manager.log)

    def test_watchdog_of_another_process(self):
        systemd = ServiceManager(self)
        self.begin({}, None, environment={**systemd.environment, "WATCHDOG_PID": "1"})
        self.assertNotIn("heartbeat", self.manager.log)
        self.assertEqual(self.manager.stop(), 0)
        systemd.socket.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                self.assertNotIn("WATCHDOG", systemd.receive(0)[0])

    def most_switches(self, pids, seconds):
        """Of one of these, in that time, which is what is measured."""
        before = [switches_of(pid) for pid in pids]
        time.sleep(seconds)
        return max(switches_of(pid) - count for pid, count in zip(pids, before))

    def test_idle_charger_wakes_up_for_heartbeats_and_nothing_else(self):
        for watchdog, most in ((None, 0), ({"timeout": 30, "heartbeat": 0.5}, 6)):
            with self.subTest(watchdog):
                self.begin({}, watchdog)
                pids = [self.manager.pid, self.manager.manager_pid()]
                wait_until(lambda: self.most_switches(pids, 1) <= most * 3, "the end of the start")
                self.assertLessEqual(self.most_switches(pids, 3), most * 7)
                self.assertEqual(self.manager.stop(), 0)

    def test_reload_keeps_the_record_and_goes_on(self):
        self.begin({}, WATCHDOG)
        self.manager.send(signal.SIGHUP)
        wait_until(lambda: self.manager.log.count("all modules ready") == 2, lambda: f"a second start: {self.manager}")
        self.assertEqual(self.manager.stop(), 0)
        steps = [step.split()[0] for step in self.steps()]
        self.assertEqual(steps, ["started", "reload", "started", "stopped"])

    def test_device_that_is_missing_is_refused_unless_it_is_not_required(self):
        self.begin({}, {"device": "/dev/watchdog77"}, until=None)
        self.assertEqual(self.manager.wait(), 1)
        self.assertIn("launcher: the watchdog /dev/watchdog77: it is not there: No such file or directory; load its driver",
                      self.manager.log)
        self.assertEqual(self.prefix.processes(), [])
        self.begin({}, {"device": "/dev/watchdog77", "require": False})
        self.assertIn("it is not there", self.manager.log)
        self.assertEqual(self.manager.stop(), 0)


class LastReset(Case):
    def test_reason_is_logged_kept_and_shown(self):
        self.assertEqual(self.last_reset(), f"No reset is known; records are in {self.state}.\n")
        (self.state / "watchdog-steps").write_text(
            "boot 11111111-2222-3333-4444-555555555555\n1764010000 started timeout 30000 ms, boot status 0x0\n"
            "1764010100 abort-module slac (pid 17): stopped (state T) for 30.0 s\n")
        line = "  2025-11-24 18:48:20 UTC abort-module slac (pid 17): stopped (state T) for 30.0 s\n"
        self.assertIn(line, self.last_reset(), "also before the next start")
        self.begin({}, WATCHDOG)
        self.manager.wait_for_log("warning: " + line.strip("\n"))
        self.assertEqual(self.manager.stop(), 0)
        self.assertTrue(self.last_reset().startswith("The machine went down without a stop of the charger"))
        self.assertTrue(self.last_reset().endswith(line))
        self.begin({}, WATCHDOG)
        self.assertNotIn(line.strip(), self.manager.log, "once is enough")
        self.assertEqual(self.manager.stop(), 0)
        self.assertTrue(self.last_reset().endswith(line))

    def test_directory_that_others_can_write_is_not_used(self):
        self.state.chmod(0o777)
        self.begin({}, WATCHDOG)
        self.assertIn(f"manager: warning: {self.state}: ", self.manager.log)
        self.assertEqual(self.manager.stop(), 0)
        self.assertEqual(list(self.state.iterdir()), [])

    def test_full_disk_is_no_reason_to_stop(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=755", "tmpfs", self.state], check=True)
        self.addCleanup(subprocess.run, ["umount", self.state], check=True)
        with open(self.state / "ballast", "wb") as ballast:
            ballast.write(bytes(4096))
        self.begin({}, WATCHDOG)
        self.manager.wait_for_log("launcher: could not record the step `started")
        self.assertRegex(self.manager.log, "launcher: could not record the step `started .*` in "
                         f"{self.state}/watchdog-steps: No space left on device")
        self.assertEqual(self.manager.stop(), 0)
        self.assertEqual(os.listdir(self.state), ["ballast"])


if __name__ == "__main__":
    harness.main()
