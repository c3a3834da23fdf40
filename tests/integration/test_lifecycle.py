# SPDX-License-Identifier: Apache-2.0
"""The rows of observed-lifecycle.md, and what that manager was not asked: status lines in order, exit code, and nothing
left behind."""

import os
import signal
import subprocess
import time

import harness
from harness import START, STOP, Prefix, alive, wait_until
from mqtt import Broker

CRASH = ["MANAGER_SHUTDOWN_REQUESTED", "MANAGER_CRASH_SHUTDOWN_IN_PROGRESS", "MANAGER_FORCE_TERMINATING",
         "MANAGER_SHUTDOWN_FINALIZING"]
CLEAN_STOP = ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_REQUESTED", "MANAGER_SHUTDOWN_FINALIZING",
              "ALL_MODULES_STOPPED_CLEAN", "MANAGER_EXITING"]
MODULES = {"store": "Thing", "example": "Thing", "example_user": "Thing"}

# A module that leaves a grandchild behind which is in a session of its own, then plays its part.
DAEMON = """#!/usr/bin/python3
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(1000)
    os._exit(0)
os.wait()
prefix = sys.argv[sys.argv.index("--prefix") + 1]
os.execv(prefix + "/libexec/everest/standin", ["daemon:Daemon"] + sys.argv[1:])
"""


class Lifecycle(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.observer = self.broker.observe()

    def begin(self, *options, modules=MODULES, until="ALL_MODULES_STARTED", **more):
        config = self.prefix.configure(modules, run_as_user="everest", **self.broker.settings)
        self.manager = self.start(self.prefix, config, *options, **more)
        if until:
            self.manager.wait_for(until)
        if until == "ALL_MODULES_STARTED":
            self.pids = {module: self.observer.report(module)["pid"]
                         for module in modules if module not in options}
        return self.manager

    def check(self, lines, code, timeout=harness.PATIENCE):
        self.assertEqual(self.manager.wait(timeout), code, self.manager)
        self.assertEqual(self.manager.status(), lines, self.manager)
        self.assert_nothing_left(self.manager, self.broker)

    def signal_at(self, number):
        """Sends a signal; the time."""
        self.manager.send(number)
        return time.monotonic()


class Stop(Lifecycle):
    def test_sigint(self):
        self.begin().send(signal.SIGINT)
        self.check(START + STOP, 0)

    def test_sigterm(self):
        self.begin().send(signal.SIGTERM)
        self.check(START + STOP, 0)

    def test_sigterm_graceful(self):
        self.begin("--graceful-shutdown").send(signal.SIGTERM)
        self.check(START + CLEAN_STOP, 0)
        shutdown = self.observer.messages("everest/shutdown")
        self.assertEqual([(one["payload"], one["qos"], one["retain"]) for one in shutdown], [("true", 2, False)])

    def test_sigint_twice_at_once(self):
        """A terminal's Ctrl-C, and a wrapper that forwards it. One module hangs, so that the second meets a stop."""
        self.begin("--graceful-shutdown")
        os.kill(self.pids["example"], signal.SIGSTOP)
        self.manager.send(signal.SIGINT)
        self.manager.wait_for("MANAGER_SHUTDOWN_REQUESTED")
        self.manager.send(signal.SIGINT)
        self.manager.wait_for_log("SIGINT received again at once: it counts as one")
        os.kill(self.pids["example"], signal.SIGCONT)
        self.check(START + CLEAN_STOP, 0)

    def test_sigterm_twice_at_once(self):
        self.begin()
        self.manager.send(signal.SIGTERM)
        self.manager.send(signal.SIGTERM)
        self.check(START + STOP, 0)

    def test_sigint_graceful(self):
        self.begin("--graceful-shutdown").send(signal.SIGINT)
        self.check(START + CLEAN_STOP, 0)

    def test_no_shutdown_message_without_being_told(self):
        self.begin().stop()
        self.observer.fence()
        self.assertEqual(self.observer.messages("everest/shutdown"), [])

    def test_sigint_before_ready(self):
        self.prefix.behave(store={"never_ready": True})
        self.begin(until="MANAGER_STARTING_MODULES")
        for module in ("example", "example_user"):
            self.observer.wait(f"everest/modules/{module}/ready")
        self.manager.send(signal.SIGINT)
        self.check(START[:2] + STOP, 0)

    def test_sigint_at_any_moment(self):
        """A sweep through the start: whichever step the signal meets, one of two ends is right."""
        for milliseconds in range(0, 50, 2):
            self.begin(until=None)
            time.sleep(milliseconds / 1000)
            self.manager.send(signal.SIGINT)
            code = self.manager.wait()
            if self.manager.status():
                self.assertEqual((code, self.manager.status()[-1]), (0, "MANAGER_EXITING"), self.manager)
                self.assert_nothing_left(self.manager, self.broker)
            else:  # it was still one process that had started nothing
                self.assertEqual((code, self.prefix.processes()), (-signal.SIGINT, []), self.manager)

    def test_sigint_while_waiting_for_the_broker(self):
        self.broker.kill()
        self.begin(until=None)
        self.manager.wait_for_log("waiting for the MQTT broker")
        self.manager.send(signal.SIGINT)
        self.broker.start()
        self.check(["MANAGER_INITIALIZING", "SIGINT_RECEIVED", "MANAGER_EXITING"], 0)


class Hung(Lifecycle):
    """One module does not react: SIGSTOP."""

    def begin_hung(self, *options):
        self.begin(*options)
        os.kill(self.pids["example"], signal.SIGSTOP)
        wait_until(lambda: harness.status_of(self.pids["example"])["State"].startswith("T"), "the module to be stopped")

    def test_killed_after_five_seconds(self):
        self.begin_hung()
        begin = self.signal_at(signal.SIGINT)
        self.check(START + STOP, 0)
        self.assertGreater(time.monotonic() - begin, 4.9)

    def test_graceful(self):
        self.begin_hung("--graceful-shutdown")
        begin = self.signal_at(signal.SIGINT)
        self.manager.wait_for("FORCE_SHUTDOWN_TIMEOUT")
        self.assertGreater(time.monotonic() - begin, 4.9)
        self.check(START + ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_REQUESTED", "MANAGER_FORCE_TERMINATING",
                            "FORCE_SHUTDOWN_TIMEOUT", "MANAGER_SHUTDOWN_FINALIZING", "MANAGER_EXITING"], 0)
        self.assertGreater(time.monotonic() - begin, 9.8)

    def test_second_sigint(self):
        self.begin_hung("--graceful-shutdown")
        begin = self.signal_at(signal.SIGINT)
        self.manager.wait_for("MANAGER_SHUTDOWN_REQUESTED")
        time.sleep(0.6)  # within 0.5 s it would be the same one
        self.manager.send(signal.SIGINT)
        self.check(START + ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_REQUESTED", "MANAGER_EXITING"], 1)
        self.assertLess(time.monotonic() - begin, 4.9)
        self.assertFalse(alive(self.pids["example"]))

    def test_deaf_module(self):
        """It ignores both the request and SIGTERM."""
        self.prefix.behave(example={"ignore_shutdown": True, "ignore_term": True})
        self.begin("--graceful-shutdown")
        begin = self.signal_at(signal.SIGTERM)
        self.check(START + ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_REQUESTED", "MANAGER_FORCE_TERMINATING",
                            "FORCE_SHUTDOWN_TIMEOUT", "MANAGER_SHUTDOWN_FINALIZING", "MANAGER_EXITING"], 0)
        self.assertGreater(time.monotonic() - begin, 9.8)


class Failure(Lifecycle):
    def test_module_killed(self):
        self.begin()
        os.kill(self.pids["example"], signal.SIGKILL)
        self.check(START + CRASH + ["MANAGER_EXITING"], 1)
        self.assertIn(f"example (pid {self.pids['example']}): ended unexpectedly: killed by SIGKILL (9)",
                      self.manager.log)

    def test_module_exits_before_ready(self):
        self.prefix.behave(example={"exit_before_ready": 3}, store={"never_ready": True})
        self.begin(until=None)
        self.check(START[:2] + CRASH + ["MANAGER_EXITING"], 1)
        self.assertRegex(self.manager.log, r"example \(pid \d+\): ended unexpectedly: exit code 3, \d\.\d s after its "
                                           r"start, before it was ready; stopping all modules")

    def test_module_that_never_becomes_ready_is_named(self):
        self.prefix.behave(store={"never_ready": True})
        self.begin("--standalone", "example_user", until=None)
        self.observer.wait("everest/modules/example/ready")
        self.manager.wait_for_log("not ready yet: ")
        store = self.manager.module_pids()["store"]
        self.assertIn(f"warning: not ready yet: store (pid {store}), example_user\n", self.manager.log)
        self.assertEqual(self.manager.stop(), 0, self.manager)

    def test_module_exits_with_success_before_ready(self):
        self.prefix.behave(example={"exit_before_ready": 0}, store={"never_ready": True})
        self.begin(until=None)
        self.check(START[:2] + CRASH + ["MANAGER_EXITING"], 1)

    def test_program_cannot_be_executed(self):
        self.prefix.module("Broken")
        program = self.prefix.modules / "Broken/Broken"
        program.write_bytes(program.read_bytes().replace(b"/ld-linux", b"/ld-absent"))
        self.begin(modules={"store": "Thing", "broken": "Broken"}, until=None)
        self.check(START[:2] + CRASH + ["MANAGER_EXITING"], 1)
        self.assertIn("broken: not started: could not execute the program", self.manager.log)

    def test_broker_dies(self):
        self.begin()
        self.broker.kill()
        self.assertEqual(self.manager.wait(), 1, self.manager)
        lines = self.manager.status()
        self.assertIn(lines[len(START):], [["MANAGER_EXITING"], CRASH + ["MANAGER_EXITING"]], self.manager)
        self.check_that_the_broker_is_blamed()
        self.assertEqual(self.prefix.processes(), [])

    def test_broker_dies_during_the_start(self):
        self.prefix.behave(store={"never_ready": True})
        self.begin(until=None)
        self.observer.wait("everest/modules/example/ready")
        self.broker.kill()
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertEqual(self.manager.status()[-1], "MANAGER_EXITING")
        self.assertNotIn("MANAGER_RUNNING", self.manager.status())
        self.check_that_the_broker_is_blamed()
        self.assertEqual(self.prefix.processes(), [])

    def check_that_the_broker_is_blamed(self):
        self.assertIn("error: the connection to the MQTT broker is lost", self.manager.log)
        self.assertNotIn("ended unexpectedly", self.manager.log)

    def test_broker_dies_after_a_module_was_seen_to_end(self):
        """The order that the kernel may choose when a broker is killed, made certain: the broker still has its
        connections but is at its end when a module goes."""
        timeline = self.scratch / "timeline"
        self.begin("--timeline", str(timeline))
        self.broker.suspend()
        os.kill(self.pids["example"], signal.SIGKILL)
        wait_until(lambda: '"exited"' in timeline.read_text(), "the manager to hear of the module's end")
        self.broker.kill()
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.check_that_the_broker_is_blamed()
        self.assertIn(f"example (pid {self.pids['example']}): ended, too: killed by SIGKILL (9)", self.manager.log)
        self.assertEqual(self.manager.status(), START + CRASH + ["MANAGER_EXITING"])

    def test_module_ends_while_the_broker_hangs(self):
        """A broker that does not answer keeps nobody from stopping the rest."""
        self.begin()
        self.broker.suspend()
        os.kill(self.pids["example"], signal.SIGKILL)
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertEqual(self.manager.status(), START + CRASH + ["MANAGER_EXITING"])
        self.assertIn(f"example (pid {self.pids['example']}): ended unexpectedly: killed by SIGKILL (9)",
                      self.manager.log)
        self.assertEqual(self.prefix.processes(), [])

    def test_launcher_killed(self):
        self.begin()
        processes = self.prefix.processes()
        self.assertEqual(len(processes), 5)
        self.manager.send(signal.SIGKILL)
        wait_until(lambda: not any(map(alive, processes)), "the end of manager and modules", 10)
        self.assertEqual(self.manager.wait(), -signal.SIGKILL)
        self.assertEqual(self.prefix.processes(), [])

    def test_launcher_killed_while_metadata_is_published(self):
        """The manager clears what it has published, also what the broker makes effective only afterwards."""
        names = [f"Thing{number}" for number in range(60)]
        for name in names:
            self.prefix.module(name)
        for attempt in range(1, 11):
            self.begin(modules=dict(zip(names, names)), until=None)
            self.observer.wait("everest/interfaces", 2 * attempt - 1)
            self.manager.send(signal.SIGKILL)
            self.manager.wait()
            wait_until(lambda: not self.prefix.processes(), "the end of manager and modules", 10)
            self.assertEqual(list(self.broker.retained()), [])
            self.observer.wait("everest/interfaces", 2 * attempt)

    def test_manager_killed(self):
        self.begin()
        os.kill(self.manager.manager_pid(), signal.SIGKILL)
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertEqual(self.prefix.processes(), [])
        self.assertIn("launcher: the manager ended; stopping all modules", self.manager.log)
        self.assertEqual(self.manager.status(), START)

    def test_manager_killed_while_a_module_hangs(self):
        self.begin()
        os.kill(self.pids["store"], signal.SIGSTOP)
        os.kill(self.manager.manager_pid(), signal.SIGKILL)
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertEqual(self.prefix.processes(), [])


class StatusFifo(Lifecycle):
    """wire-protocol.md §10."""

    def refuse(self, path, *texts):
        self.begin(until=None, fifo=path)
        self.assert_refused(self.manager, f"--status-fifo {path}", *texts)

    def test_missing(self):
        self.refuse(self.scratch / "nothing", "No such file or directory", "mkfifo")

    def test_not_a_fifo(self):
        path = self.scratch / "file"
        path.write_text("precious")
        self.refuse(path, "is not a named pipe")
        self.assertEqual(path.read_text(), "precious")

    def test_without_a_reader(self):
        path = self.scratch / "fifo"
        os.mkfifo(path)
        self.refuse(path, "nobody reads it")

    def test_reader_leaves(self):
        self.begin()
        self.manager.close_fifo()
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.assertEqual(self.manager.log.count("the status FIFO is not written any more"), 1)
        self.assertEqual(self.prefix.processes(), [])


class Composition(Lifecycle):
    """Modules that are started by others, by nobody, or that start more themselves."""

    def test_standalone_never_comes(self):
        self.begin("--standalone", "store", until="WAITING_FOR_STANDALONE_MODULES")
        self.manager.send(signal.SIGINT)
        self.check(["MANAGER_INITIALIZING", "MANAGER_STARTING_MODULES", "WAITING_FOR_STANDALONE_MODULES"] + STOP, 0)

    def test_standalone_comes(self):
        modules = dict(MODULES, store={"module": "Thing", "standalone": True})
        self.begin(modules=modules, until="WAITING_FOR_STANDALONE_MODULES")
        module = subprocess.Popen(
            [harness.STANDIN, "--prefix", self.prefix.path, "--module", "store", "--log_config", "/dev/null",
             "--mqtt_everest_prefix", "everest/", "--mqtt_external_prefix", "", "--mqtt_broker_socket_path",
             self.broker.socket], stdin=subprocess.DEVNULL)
        self.addCleanup(module.wait)
        self.addCleanup(module.kill)
        self.manager.wait_for("ALL_MODULES_STARTED").send(signal.SIGINT)
        self.assertEqual(self.manager.wait(), 0, self.manager)
        self.assertEqual(self.manager.status(), START[:2] + ["WAITING_FOR_STANDALONE_MODULES"] + START[2:] + STOP)
        self.assertIsNone(module.poll(), "a standalone module is not ours to end")

    def test_ignored(self):
        self.begin("--ignore", "example_user")
        self.assertEqual(set(self.manager.module_pids()), {"store", "example"})
        self.manager.send(signal.SIGINT)
        self.check(START + STOP, 0)

    def test_no_modules(self):
        self.begin(modules={}, until=None)
        self.check(["MANAGER_INITIALIZING", "MANAGER_EXITING"], 1)

    def test_all_ignored(self):
        self.begin("--ignore", "store", modules={"store": "Thing"}, until=None)
        self.check(["MANAGER_INITIALIZING", "MANAGER_EXITING"], 1)

    def begin_with_daemon(self):
        self.prefix.script("Daemon", "Daemon", DAEMON)
        self.begin(modules={"store": "Thing", "daemon": "Daemon"})
        grandchild = [pid for pid in self.prefix.processes()
                      if pid not in self.pids.values() and "daemon:Daemon" not in harness.argv_of(pid)[0]
                      and any(text.endswith("/Daemon") for text in harness.argv_of(pid))]
        self.assertEqual(len(grandchild), 1)
        self.assertEqual(os.getsid(grandchild[0]) in self.pids.values(), False)
        return grandchild[0]

    def test_grandchild_in_its_own_session(self):
        grandchild = self.begin_with_daemon()
        self.manager.send(signal.SIGINT)
        self.check(START + STOP, 0)
        self.assertFalse(alive(grandchild))

    def test_grandchild_after_a_crash(self):
        grandchild = self.begin_with_daemon()
        os.kill(self.manager.manager_pid(), signal.SIGKILL)
        self.assertEqual(self.manager.wait(), 1, self.manager)
        self.assertFalse(alive(grandchild))


if __name__ == "__main__":
    harness.main()
