# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: the same process begins anew with what the configuration says now, or nothing changes."""

import os
import pathlib
import shlex
import signal
import unittest

import harness
from harness import START, STOP, Prefix, alive, status_of, wait_until
from mqtt import Broker
from processes import children_of, descriptors, landlock_abi

RELOAD = ["MANAGER_RESTART_REQUESTED", "MANAGER_FORCE_TERMINATING", "MANAGER_SHUTDOWN_FINALIZING"]
GRACEFUL_RELOAD = ["MANAGER_RESTART_REQUESTED", "MANAGER_SHUTDOWN_FINALIZING", "ALL_MODULES_STOPPED_CLEAN"]
CRASH = ["MANAGER_SHUTDOWN_REQUESTED", "MANAGER_CRASH_SHUTDOWN_IN_PROGRESS", "MANAGER_FORCE_TERMINATING",
         "MANAGER_SHUTDOWN_FINALIZING"]
MODULES = {"store": "Thing", "example": "Thing"}
CAPABILITY_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


# landlock(7), from ABI 6 on: nobody in here signals who is outside. One stays behind, who is no child of the manager.
SANDBOX = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
ruleset = libc.syscall(444, (ctypes.c_uint64 * 3)(0, 0, 2), ctypes.c_size_t(24), 0)
if ruleset < 0 or libc.prctl(38, 1, 0, 0, 0) != 0 or libc.syscall(446, ruleset, 0) != 0:
    sys.exit("no sandbox")
if os.fork() == 0:
    os.setsid()
    bystander = os.fork()
    if bystander == 0:
        os.execv("/bin/sleep", ["sleep", "1000"])
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(str(bystander))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    os._exit(0)
os.wait()
os.execv(sys.argv[2], sys.argv[2:])
"""
needs_scopes = unittest.skipUnless(landlock_abi() >= 6, "needs Landlock's ABI 6 (Linux 6.12)")


class Reload(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.broker = Broker(self)
        self.observer = self.broker.observe()

    def configure(self, modules, **settings):
        return self.prefix.configure(modules, run_as_user="everest", **self.broker.settings, **settings)

    def begin(self, *options, modules=MODULES, wrap=list):
        self.manager = self.start(self.prefix, self.configure(modules), *options, wrap=wrap)
        self.manager.hold_fifo()
        self.manager.wait_for("ALL_MODULES_STARTED")

    def begin_in_terminal(self, command):
        """The terminal. In `command`, a shell's, {} is the manager's."""
        self.manager = self.start(self.prefix, self.configure(MODULES), wrap=lambda arguments: [
            "script", "--quiet", "--command", command.format(shlex.join(map(str, arguments))), "/dev/null"])
        self.manager.hold_fifo()
        self.manager.wait_for("ALL_MODULES_STARTED")
        return self.manager.process

    def reload(self, times=1):
        """One reload; `times`: how many there have been then."""
        self.manager.send(signal.SIGHUP)
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == times + 1,
                   lambda: f"reload {times}: {self.manager}")

    def check_end(self, lines, code=0):
        self.assertEqual(self.manager.wait(), code, self.manager)
        self.manager.release_fifo()
        self.assertEqual(self.manager.status(), lines, self.manager)
        self.assert_nothing_left(self.manager, self.broker)

    def environment_of(self, module):
        return pathlib.Path(f"/proc/{self.manager.module_pids()[module]}/environ").read_bytes()

    def privileges(self):
        status = status_of(self.manager.pid)
        return {name: status[name] for name in (*CAPABILITY_SETS, "Uid", "NoNewPrivs", "Seccomp", "Seccomp_filters")}

    def test_a_module_is_added(self):
        self.begin()
        before = self.manager.module_pids()
        self.configure({**MODULES, "new": "Thing"})
        self.reload()
        after = self.manager.module_pids()
        self.assertEqual(sorted(after), ["example", "new", "store"])
        self.assertFalse(set(before.values()) & set(after.values()))
        self.assertFalse(any(alive(pid) for pid in before.values()))
        self.manager.send(signal.SIGTERM)
        self.check_end(START + RELOAD + START + STOP)

    def test_modules_are_asked_first(self):
        self.begin("--graceful-shutdown")
        self.reload()
        self.manager.send(signal.SIGKILL)  # a graceful stop is test_lifecycle's
        self.manager.process.wait()
        self.assertEqual(self.manager.status()[:11], START + GRACEFUL_RELOAD + START)

    def test_twenty_times(self):
        self.begin()
        self.reload()
        open_files, privileges = descriptors(self.manager.pid), self.privileges()
        for times in range(2, 21):
            self.reload(times)
            self.assertEqual(self.privileges(), privileges)
            wait_until(lambda: descriptors(self.manager.pid) == open_files,
                       lambda: f"{descriptors(self.manager.pid)}, where there were {open_files}")
        self.assertNotIn("nested", self.manager.log)
        self.manager.send(signal.SIGINT)
        self.check_end(START + 20 * (RELOAD + START) + STOP)

    def test_a_mistake_changes_nothing(self):
        self.begin()
        before = self.manager.module_pids()
        self.prefix.write("etc/everest/charger.yaml", "active_modules: {store: {module: Nothing}}")
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for_log("the configuration was refused as explained above")
        self.assertIn("charger.yaml:1:34: error:", self.manager.log)
        self.assertEqual((self.manager.module_pids(), self.manager.status()), (before, START))
        self.configure(MODULES)
        self.reload()
        self.manager.send(signal.SIGINT)
        self.check_end(START + RELOAD + START + STOP)

    def test_privileges_do_not_grow(self):
        """What the launcher has given up is gone: more takes a restart."""
        self.begin()
        before = self.privileges()
        self.configure({"store": {"module": "Thing", "capabilities": ["CAP_NET_RAW"]}})
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for_log("the configuration was refused as explained above")
        self.assertIn("CAP_NET_RAW", self.manager.log)
        self.assertEqual((self.privileges(), self.manager.status()), (before, START))

    def test_the_remedy_for_a_capability(self):
        self.begin()
        self.configure({"store": {"module": "Thing", "capabilities": ["CAP_NET_RAW"]}})
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for_log("the configuration was refused as explained above")
        self.assertIn("restart instead of reloading", self.manager.log)
        self.assertIn("nothing was changed", self.manager.log)
        self.assertNotIn("nothing was started", self.manager.log)

    def test_what_was_set_stays(self):
        """The launcher reads what the manager's user has written, and has no privilege to."""
        directory = self.prefix.configs / "user-config"
        directory.mkdir()
        os.chown(directory, self.everest.pw_uid, self.everest.pw_gid)
        identifier = {"module_id": "store", "configuration_parameter_name": "level"}
        self.begin()
        answer = self.observer.ask({"type": "Set", "origin": "store",
                                    "request": {"identifier": identifier, "value": "17.5"}})
        self.assertEqual(answer["response"]["status"], "Accepted")
        self.reload()
        answer = self.observer.ask({"type": "Get", "origin": "store",
                                    "request": {"type": "Value", "identifier": identifier}})
        self.assertEqual(answer["response"]["data"]["value"], 17.5)
        (directory / "charger.yaml").chmod(0o600)
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for_log("the configuration was refused as explained above")
        self.assertIn("without it its values would be lost", self.manager.log)
        self.assertEqual(self.manager.status(), START + RELOAD + START)

    def test_a_sandbox_that_takes_more(self):
        self.begin()
        self.prefix.write("etc/everest/belay.yaml", "modules: {'*': {sandbox: {private_tmp: true}}}")
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for_log("the configuration was refused as explained above")
        self.assertIn("the launcher has given up CAP_SYS_ADMIN", self.manager.log)
        self.assertEqual(self.manager.status(), START)

    def test_privileges_shrink(self):
        self.begin(modules={"store": {"module": "Thing", "capabilities": ["CAP_NET_RAW"]}})
        before = self.privileges()
        self.configure(MODULES)
        self.reload()
        after = self.privileges()
        net_raw = 1 << 13
        self.assertEqual(int(before["CapBnd"], 16) & ~net_raw, int(after["CapBnd"], 16))
        self.assertEqual(after["CapPrm"], after["CapBnd"])

    def test_who_only_says_so_is_filtered(self):
        """`--reloaded` by hand, with no more capabilities than are needed: there is no filter yet."""
        self.prefix.install(harness.MANAGER, "bin/real")
        self.prefix.write("bin/manager", "#!/bin/sh\nexec setpriv --bounding-set -all,+setuid,+setgid,+setpcap,+kill "
                          f"{self.prefix.path}/bin/real \"$@\" --reloaded\n", 0o755)
        self.begin()
        self.assertEqual(self.privileges()["Seccomp_filters"], "1")

    def test_a_file_that_others_may_write_is_refused(self):
        self.begin()
        os.chmod(self.prefix.path / "bin/manager", 0o777)
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for_log("the configuration was refused as explained above")
        self.assertEqual(self.manager.status(), START)

    def test_a_stop_meanwhile_is_the_end(self):
        """One module hangs, so that SIGTERM meets the reload under way."""
        self.begin()
        hung = self.manager.module_pids()["example"]
        os.kill(hung, signal.SIGSTOP)
        wait_until(lambda: status_of(hung)["State"].startswith("T"), "the module to be stopped")
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for("MANAGER_FORCE_TERMINATING")
        self.manager.send(signal.SIGTERM)
        self.manager.wait_for("SIGINT_RECEIVED")
        os.kill(hung, signal.SIGCONT)
        self.check_end(START + ["MANAGER_RESTART_REQUESTED", "MANAGER_FORCE_TERMINATING", "SIGINT_RECEIVED",
                                "MANAGER_SHUTDOWN_FINALIZING", "MANAGER_EXITING"])

    def begin_recovery(self):
        """A recovery that takes two seconds to stop all: one module is deaf. SIGHUP meets it."""
        self.prefix.behave(store={"ignore_term": True})
        self.prefix.write("etc/everest/belay.yaml", "modules: {'*': {shutdown: {timeout: 2}}}")
        self.begin("--recover-module-crashes")
        os.kill(self.manager.module_pids()["example"], signal.SIGKILL)
        self.manager.wait_for("MANAGER_FORCE_TERMINATING")
        self.configure({**MODULES, "new": "Thing"})
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for_log("SIGHUP received")

    def test_in_a_recovery(self):
        """All are about to be started again anyway: now as the new configuration says."""
        self.begin_recovery()
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == 2, lambda: str(self.manager))
        self.assertEqual(sorted(self.manager.module_pids()), ["example", "new", "store"])
        self.manager.send(signal.SIGINT)
        self.check_end(START + CRASH + ["MANAGER_RESTART_REQUESTED"] + START + STOP)

    def test_a_stop_in_such_a_recovery_is_the_end(self):
        self.begin_recovery()
        self.manager.send(signal.SIGTERM)
        self.check_end(START + CRASH[:-1] + ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_FINALIZING", "MANAGER_EXITING"])

    def test_in_an_outage(self):
        self.begin("--recover-module-crashes")
        self.broker.kill()
        self.manager.wait_for("MANAGER_SHUTDOWN_FINALIZING")
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for("MANAGER_RESTART_REQUESTED")
        self.broker.start()
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == 2, lambda: str(self.manager))
        self.manager.send(signal.SIGINT)
        self.check_end(START + CRASH + ["MANAGER_RESTART_REQUESTED"] + START + STOP)

    def test_while_idle(self):
        """What there was nothing of may be there now."""
        self.manager = self.start(self.prefix, self.configure({}), "--idle-on-failure")
        self.manager.hold_fifo()
        self.manager.wait_for("MANAGER_IDLE")
        self.configure({"store": "Thing"})
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for("ALL_MODULES_STARTED")
        self.manager.send(signal.SIGINT)
        self.check_end(["MANAGER_INITIALIZING", "MANAGER_IDLE", "MANAGER_RESTART_REQUESTED"] + START + STOP)

    def test_arguments_environment_and_directory_stay(self):
        self.begin()
        of_launcher = pathlib.Path(f"/proc/{self.manager.pid}")
        before = os.readlink(of_launcher / "cwd"), self.environment_of("store")
        self.reload()
        self.assertEqual((os.readlink(of_launcher / "cwd"), self.environment_of("store")), before)

    def test_a_closed_terminal_is_no_reload(self):
        """The kernel says so to what is in the foreground, and a shell to its jobs."""
        for command in ("exec {}", "bash --norc -ic '{} & wait'"):
            with self.subTest(command=command):
                terminal = self.begin_in_terminal(command)
                self.manager.release_fifo()
                terminal.kill()
                wait_until(lambda: self.manager.status() == START + STOP, lambda: str(self.manager))
                wait_until(lambda: not self.prefix.processes(), "the end of all")

    def test_nohup_outlives_the_terminal(self):
        terminal = self.begin_in_terminal("exec nohup {}")
        [launcher] = [pid for pid in children_of(terminal.pid) if pid in self.prefix.processes()]
        terminal.kill()
        wait_until(lambda: not alive(terminal.pid), "the end of the terminal")
        wait_until(lambda: not int(status_of(launcher)["ShdPnd"], 16) & 1, "the kernel's SIGHUP to be taken")
        os.kill(launcher, signal.SIGHUP)
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == 2, "the reload")
        os.kill(launcher, signal.SIGTERM)
        wait_until(lambda: self.manager.status() == START + RELOAD + START + STOP, lambda: str(self.manager))

    @needs_scopes
    def test_who_shares_a_callers_sandbox_is_left_alone(self):
        """The first one enters no domain of its own, for one module may signal others; the next one must not take the
        caller's for its own."""
        file = self.scratch / "bystander"
        off = self.prefix.write("etc/everest/belay.yaml", 'modules: {store: {sandbox: {landlock: "off"}}}')
        self.begin(wrap=lambda command: ["/usr/bin/python3", "-c", SANDBOX, file, *command])
        bystander = int(file.read_text())
        self.addCleanup(os.kill, bystander, signal.SIGKILL)
        off.unlink()
        self.reload()
        self.assertTrue(alive(bystander), self.manager)
        self.reload(2)
        self.assertTrue(alive(bystander), self.manager)
        self.assertEqual(self.manager.stop(signal.SIGTERM), 0, self.manager)
        self.assertTrue(alive(bystander), self.manager)

    @needs_scopes
    def test_a_module_that_may_signal_others_now(self):
        """It could not, in the signal domain of all."""
        self.begin()
        self.reload()
        self.prefix.write("etc/everest/belay.yaml", 'modules: {store: {sandbox: {landlock: "off"}}}')
        self.manager.send(signal.SIGHUP)
        self.manager.wait_for_log("module `store` may signal other processes now")
        self.manager.wait_for_log("restart instead of reloading")
        self.manager.wait_for_log("the configuration was refused as explained above")
        self.assertEqual(self.manager.status().count("MANAGER_INITIALIZING"), 2, self.manager)
        self.assertEqual(sorted(self.manager.module_pids()), sorted(MODULES))


if __name__ == "__main__":
    harness.main()
