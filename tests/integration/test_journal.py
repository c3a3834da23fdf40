# SPDX-License-Identifier: Apache-2.0
"""The journal: the manager's and the launcher's entries with their fields, modules' output as streams of their own, and
what happens without journald, or with one that does not keep up."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import unittest

import harness
import journald
from harness import Manager, Prefix, alive, status_of, wait_until
from mqtt import Broker

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MODULES = {"store": "Thing", "example": "Thing", "talker": "Talker"}
# A module that says something on both of its outputs, plays its part, and has a last word.
TALKER = """#!/usr/bin/python3
import os, signal, subprocess, sys
prefix = sys.argv[sys.argv.index("--prefix") + 1]
print("to standard output", flush=True)
print("<4>a warning", file=sys.stderr, flush=True)
print("two\\nlines", flush=True)
part = subprocess.Popen([prefix + "/libexec/everest/standin", *sys.argv[1:]])
def last_word(*_):
    print("the last word", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, last_word)
part.wait()
signal.pause()
"""


def message_id(name):
    text = (SOURCE / "launcher/messages.hpp").read_text()
    return re.search(rf'"{name}", "([0-9a-f]{{32}})"', text)[1]


class Case(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix")
        self.prefix.script("Talker", "Talker", TALKER)
        self.broker = Broker(self)
        self.journal = journald.Journald(self)

    def begin(self, *options, modules=None, belay=None, until="ALL_MODULES_STARTED", stderr=None, stream=None):
        """As systemd would start it; `belay`: `modules` of belay.yaml."""
        self.prefix.write("etc/everest/belay.yaml", json.dumps({"modules": belay or {}}))
        config = self.prefix.configure(modules or MODULES, run_as_user="everest", **self.broker.settings)
        if stderr is None:
            stderr, stream = self.journal.stream("manager", "belay-test.service")
        with stderr:
            self.manager = self.start(self.prefix, config, *options, stderr=stderr,
                                      environment={**Manager.environment, "JOURNAL_STREAM": stream})
        if until:
            self.manager.wait_for(until)

    def event(self, name, *matches, **more):
        """Of one kind, with its MESSAGE_ID, from the manager or the launcher."""
        entries = self.journal.wait_for(f"EVEREST_EVENT={name}", *matches, **more)
        for entry in entries:
            self.assertEqual(entry["MESSAGE_ID"], message_id(name))
            self.assertIn(entry["SYSLOG_IDENTIFIER"], ("manager", "launcher"))
            self.assertEqual(entry["_TRANSPORT"], "journal")
        return entries


class Entries(Case):
    def test_start_has_fields(self):
        self.begin()
        pids = self.manager.module_pids()
        for name in ("module_started", "module_ready"):
            entries = self.event(name, "EVEREST_MODULE=example")
            self.assertEqual([entry["EVEREST_PID"] for entry in entries], [str(pids["example"])])
            self.assertEqual(entries[0]["PRIORITY"], "6")
            self.assertEqual(entries[0]["_UID"], str(self.everest.pw_uid))
            self.assertRegex(entries[0]["CODE_FILE"], r"^manager/\w+\.cpp$")
            self.assertIn(entries[0]["CODE_FUNC"], ("on_started", "on_module_ready"))
        self.assertEqual(len(self.event("all_ready")), 1)
        plain = self.journal.wait_for("_TRANSPORT=journal", where=lambda e: e["MESSAGE"] == "starting 3 modules")
        self.assertEqual((plain[0]["PRIORITY"], plain[0]["SYSLOG_IDENTIFIER"]), ("6", "manager"))
        self.assertEqual(self.manager.stop(), 0)
        self.assertEqual(len(self.event("module_ended", count=3)), 3)

    def test_crash_names_signal_and_commands(self):
        self.begin(belay={"talker": {"restart": {"policy": "on-failure", "delay": 0.1}, "limits": {"LimitCORE": 0}}})
        pid = self.manager.module_pids().get("talker") or self.talker()
        os.kill(pid, signal.SIGSEGV)
        crash = self.event("module_crashed", "EVEREST_MODULE=talker")[0]
        self.assertEqual((crash["EVEREST_SIGNAL"], crash["EVEREST_PID"], crash["PRIORITY"]), ("SIGSEGV", str(pid), "4"))
        self.assertNotIn("EVEREST_EXIT_CODE", crash)
        self.assertIn("killed by SIGSEGV (11), no core: LimitCORE is 0; restart 1 of 5 in ", crash["MESSAGE"])
        command = re.search(r"`(journalctl .*?)`", crash["MESSAGE"])[1]
        shown = subprocess.run(command.split(), check=True, stdout=subprocess.PIPE, text=True).stdout
        self.assertIn("a warning", shown)
        self.assertEqual(len(self.event("module_restarted", "EVEREST_MODULE=talker")), 1)
        self.assertEqual(len(self.event("module_ready", "EVEREST_MODULE=talker", count=2)), 2)

    def talker(self):
        return int(self.journal.wait_for("SYSLOG_IDENTIFIER=talker")[-1]["_PID"])

    @unittest.skipIf(harness.SANITIZED, "a program with the sanitizers takes its core away itself")
    def test_core_is_named(self):
        """A core beside the module: the kernel writes it where it works, which is our own mount."""
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if pattern.startswith(("|", "/")):
            self.skipTest(f"this machine's cores are the matter of {pattern}")
        journald.mount("tmpfs", self.everest.pw_dir)
        self.addCleanup(subprocess.run, ["umount", self.everest.pw_dir], check=True)
        os.chown(self.everest.pw_dir, self.everest.pw_uid, self.everest.pw_gid)
        self.begin(belay={"example": {"limits": {"LimitCORE": "infinity"}}})
        os.kill(self.manager.module_pids()["example"], signal.SIGABRT)
        crash = self.event("module_crashed", "EVEREST_MODULE=example")[0]
        self.assertEqual((crash["EVEREST_CORE_DUMPED"], crash["PRIORITY"]), ("1", "3"))
        core = re.search(r"core dumped \((\S+)\)", crash["MESSAGE"])[1]
        self.assertTrue(pathlib.Path(core).stat().st_size > 0, core)
        self.assertEqual(self.manager.wait(), 1)

    def test_refusal_has_stage_and_error(self):
        self.prefix.script("Talker", "Talker", "\x7fELF, and no more")
        self.begin(until=None)
        refused = self.event("module_refused", "EVEREST_MODULE=talker")[0]
        self.assertEqual((refused["EVEREST_STAGE"], refused["ERRNO"]), ("execute the program", "8"))
        self.assertNotIn("EVEREST_PID", refused)
        self.assertEqual(self.manager.wait(), 1)

    def test_configuration_error(self):
        self.begin(until=None, modules={"example": {"module": "Thing", "capabilities": ["CAP_NET_RAV"]}})
        self.assertEqual(self.manager.wait(), 1)
        entries = self.event("configuration_error", count=2)
        self.assertTrue(all(entry["PRIORITY"] == "3" for entry in entries), entries)
        placed = [entry for entry in entries if "EVEREST_CONFIG_LINE" in entry]
        self.assertEqual(placed[0]["EVEREST_CONFIG_FILE"], str(self.prefix.configs / "charger.yaml"))
        self.assertIn("did you mean", placed[0]["MESSAGE"])

    def test_wrong_command_line(self):
        self.begin("--reset-from-yam", until=None)
        self.assertEqual(self.manager.wait(), 1)
        [entry] = self.event("configuration_error")
        self.assertEqual(entry["PRIORITY"], "3")
        self.assertIn("did you mean `--reset-from-yaml`?", entry["MESSAGE"])

    def test_what_root_does_not_trust_is_an_error_too(self):
        self.prefix.configs.chmod(0o777)
        self.begin(until=None)
        self.assertEqual(self.manager.wait(), 1)
        self.event("configuration_error", where=lambda entry: str(self.prefix.configs) in entry["MESSAGE"])

    def test_end_of_the_manager(self):
        self.begin()
        pid = self.manager.manager_pid()
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.manager.wait(), 1)
        entry = self.event("manager_ended")[0]
        self.assertEqual(entry["MESSAGE"], f"the manager (pid {pid}) was killed by SIGKILL (9)")
        self.assertEqual((entry["SYSLOG_IDENTIFIER"], entry["PRIORITY"], entry["_UID"]), ("launcher", "2", "0"))

    def test_catalog_says_what_to_do(self):
        shutil.copy(SOURCE / "systemd/belay.catalog", journald.CATALOG)
        subprocess.run(["journalctl", "--update-catalog"], check=True)
        self.begin()
        pid = self.manager.module_pids()["example"]
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.manager.wait(), 1)
        self.event("module_crashed")
        shown = self.journal.show("EVEREST_EVENT=module_crashed", options=("-x",))
        self.assertIn("Subject: example has crashed", shown)
        self.assertIn(f"journalctl -b -t example _PID={pid} -n 20", shown)
        self.assertIn(f"coredumpctl info {pid}", shown)


    def test_reload_goes_on(self):
        self.begin()
        config = self.prefix.configs / "charger.yaml"
        good = config.read_text()
        config.write_text(good.replace("Talker", "Walker"))
        self.manager.send(signal.SIGHUP)
        refused = self.event("configuration_error", where=lambda entry: entry["SYSLOG_IDENTIFIER"] == "launcher")[0]
        self.assertEqual((refused["PRIORITY"], refused["_PID"]), ("3", str(self.manager.pid)))
        self.event("configuration_error", where=lambda entry: "Walker" in entry["MESSAGE"])
        config.write_text(good)
        self.manager.send(signal.SIGHUP)
        self.event("all_ready", count=2)
        self.journal.wait_for("SYSLOG_IDENTIFIER=talker", count=2, where=lambda entry: entry["MESSAGE"] == "a warning")
        self.assertEqual(self.manager.stop(), 0)


class Streams(Case):
    def test_output_is_a_stream_of_its_own(self):
        self.begin()
        lines = self.journal.wait_for("SYSLOG_IDENTIFIER=talker", count=4)
        self.assertEqual([line["MESSAGE"] for line in lines], ["to standard output", "a warning", "two", "lines"])
        self.assertEqual([line["PRIORITY"] for line in lines], ["6", "4", "6", "6"])
        for line in lines:
            self.assertEqual((line["_TRANSPORT"], line["_UID"]), ("stdout", str(self.everest.pw_uid)))
        self.assertEqual(len({line["_STREAM_ID"] for line in lines}), 1)
        pid = int(lines[0]["_PID"])
        outputs = {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)}
        self.assertEqual(len(outputs), 1)
        self.assertNotIn(os.readlink(f"/proc/{self.manager.pid}/fd/2"), outputs)
        # Both at once, in the order in which they came.
        both = self.journal.wait_for("EVEREST_MODULE=talker", "+", "SYSLOG_IDENTIFIER=talker", count=6)
        texts = [entry["MESSAGE"] for entry in both]
        self.assertLess(texts.index("to standard output"), texts.index("talker: ready"))

    def test_stream_survives_the_manager(self):
        self.begin()
        os.kill(self.manager.manager_pid(), signal.SIGKILL)
        self.assertEqual(self.manager.wait(), 1)
        self.journal.wait_for("SYSLOG_IDENTIFIER=talker", where=lambda entry: entry["MESSAGE"] == "the last word")

    def test_line_of_a_process_that_is_gone_has_the_unit(self):
        """journald looks at a process when it reads its line; the launcher has told it the unit before."""
        self.prefix.script("Talker", "Talker", "#!/bin/sh\necho farewell\nexit 3\n")
        unit = f"belay-test-{os.getpid()}.service"
        group = self.delegate(unit)
        self.journal.send(signal.SIGSTOP)
        wait_until(lambda: status_of(self.journal.process.pid)["State"].startswith("T"), "journald to be stopped")
        stderr, stream = self.journal.stream("manager", unit)
        self.start_in(group, stderr, stream)
        self.assertEqual(self.manager.wait(), 1)
        self.journal.send(signal.SIGCONT)
        line = self.journal.wait_for("SYSLOG_IDENTIFIER=talker", where=lambda entry: entry["MESSAGE"] == "farewell")[0]
        self.assertEqual(line["_SYSTEMD_UNIT"], unit)

    def delegate(self, unit):
        mounts = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
        roots = [fields[1] for fields in mounts if fields[2] == "cgroup2"]
        if not roots:
            self.skipTest("there is no cgroup v2")
        group = pathlib.Path(roots[0]) / unit
        group.mkdir()
        self.addCleanup(group.rmdir)
        return group

    def start_in(self, group, stderr, stream):
        own = pathlib.Path(f"{group.parent}{self.own_group()}") / "cgroup.procs"
        (group / "cgroup.procs").write_text("0")  # inherited by what is started
        try:
            self.begin(until=None, stderr=stderr, stream=stream)
        finally:
            own.write_text("0")

    @staticmethod
    def own_group():
        lines = pathlib.Path("/proc/self/cgroup").read_text().splitlines()
        return next(line[3:] for line in lines if line.startswith("0::"))


class WithoutJournald(Case):
    def pair(self):
        """Standard error as a service has it, and the other end of it instead of journald's."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        ours.setblocking(False)
        return ours, theirs

    def read(self, ours):
        try:
            self.text += ours.recv(1 << 20).decode()
        except BlockingIOError:
            pass
        return self.text

    def setUp(self):
        super().setUp()
        self.text = ""

    def test_absent_from_the_beginning(self):
        self.journal.kill()
        for name in ("socket", "stdout"):
            (journald.RUN / name).unlink()
        ours, theirs = self.pair()
        self.begin(stderr=theirs, stream=journald.journal_stream(theirs))
        wait_until(lambda: "all modules ready" in self.read(ours), lambda: self.read(ours))
        self.assertRegex(self.text, r"(?m)^<4>could not reach the journal at /run/systemd/journal/socket: No such file")
        self.assertEqual(self.text.count("could not reach the journal"), 1, self.text)
        self.assertEqual(self.text.count("could not open a journal stream"), 1, self.text)
        self.assertRegex(self.text, r"(?m)^<6>all modules ready in \d+ ms$")
        self.assertIn("to standard output", self.text)
        self.assertEqual(self.manager.stop(), 0)

    def test_dies_and_comes_back(self):
        self.begin(belay={"example": {"restart": {"policy": "always", "delay": 0.1, "burst": 50}}})
        self.journal.kill()
        before = self.manager.module_pids()["example"]
        os.kill(before, signal.SIGKILL)
        after = wait_until(lambda: self.manager.successor("example", before), "a successor while there is no journald")
        wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == 2, "the second announcement")
        self.journal.start()
        os.kill(after, signal.SIGKILL)
        self.event("module_crashed", "EVEREST_MODULE=example", f"EVEREST_PID={after}")
        lost = self.event("journal_lost")[-1]
        self.assertRegex(lost["MESSAGE"], r"^\d+ entr(y was|ies were) lost")
        self.assertEqual(self.manager.stop(), 0)

    def test_that_does_not_read_delays_nobody(self):
        """Far more than its socket holds: nothing waits, and nothing is lost."""
        self.begin(belay={"example": {"restart": {"policy": "always", "delay": 0, "burst": 100}}})
        self.journal.send(signal.SIGSTOP)
        wait_until(lambda: status_of(self.journal.process.pid)["State"].startswith("T"), "journald to be stopped")
        rounds = 12
        for number in range(rounds):
            os.kill(self.manager.module_pids()["example"], signal.SIGKILL)
            wait_until(lambda: self.manager.status().count("ALL_MODULES_STARTED") == number + 2, "the next announcement")
        self.assertTrue(alive(self.manager.manager_pid()))
        self.journal.send(signal.SIGCONT)
        crashes = self.event("module_crashed", "EVEREST_MODULE=example", count=rounds)
        self.assertEqual([f"restart {number + 1} of" in entry["MESSAGE"] for number, entry in enumerate(crashes)],
                         [True] * rounds)
        self.assertEqual(self.journal.entries("EVEREST_EVENT=journal_lost"), [])
        self.assertEqual(self.manager.stop(), 0)


if __name__ == "__main__":
    if os.geteuid() == 0:
        if not os.path.exists(journald.JOURNALD):
            print(f"skipped: there is no {journald.JOURNALD}")
            sys.exit(77)
        journald.enter_namespace()
    harness.main()
