# SPDX-License-Identifier: Apache-2.0
"""A charger of modules that fall, in a world of its own (tests/attack/world.py): a pid, network and IPC namespace and a
user `everest` that nobody else is. So what is left behind is not looked for, it is all that is there."""

import collections
import os
import pathlib
import random
import re
import signal
import tempfile
import time

import harness
import world
from harness import wait_until
from mqtt import Broker
from processes import descriptors, everybody

FALLER = os.environ["BELAY_FALLER"]
FULL = os.environ.get("BELAY_CHAOS") == "full"
SEED = int(os.environ.get("BELAY_CHAOS_SEED") or time.time_ns() % 1_000_000)
LINE_SIZE = 64  # of a module's notes
END_S = 10  # in which whatever was started has ended

Fall = collections.namedtuple("Fall", "pid way moment company stray survivor")


def processes():
    """Everybody in this world but ourselves: pid → state and parent."""
    found = {}
    for pid in everybody():
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found[pid] = fields[0], int(fields[1])
    return {pid: state for pid, state in found.items() if pid != os.getpid()}


def memory_kb(pid):
    """Proportional set size."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss: +(\d+) kB", text, re.M)[1])


def keys():
    """Of the modules' user: keyrings, mostly."""
    lines = pathlib.Path("/proc/key-users").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if int(line.partition(":")[0]) == world.UID), 0)


def own_control_group():
    """Its directory; None where there is no cgroup v2."""
    own = next((line.partition("::")[2] for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines()
                if line.startswith("0::")), "/").lstrip("/")
    return next((pathlib.Path(root, own) for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
                 if pathlib.Path(root, "cgroup.procs").exists()), None)


def files_below(*directories):
    return sorted(str(path) for directory in directories for path in pathlib.Path(directory).rglob("*"))


class ChaosCase(harness.Case):
    PHASES = ["initializing", "starting", "running", "falling", "stopping"]
    MODULES = ["steady", "late", "slow"]

    @classmethod
    def setUpClass(cls):
        """A control group of our own: what others of this machine do with theirs is not ours to count."""
        super().setUpClass()
        cls.control_group = None
        above = own_control_group()
        if above is None or not os.access(above, os.W_OK):
            return
        cls.control_group = above / f"belay-chaos-{SEED}-{cls.__name__}"
        cls.control_group.mkdir()
        cls.addClassCleanup(cls.control_group.rmdir)
        (cls.control_group / "cgroup.procs").write_text("0")
        cls.addClassCleanup((above / "cgroup.procs").write_text, "0")

    def setUp(self):
        tempfile.tempdir = "/home"  # a module may have a /tmp of its own
        super().setUp()
        self.assertEqual(self.everest.pw_uid, world.UID)
        self.random = random.Random(f"{SEED} {self.id()}")
        self.notes = self.scratch / "notes"
        self.notes.mkdir()
        self.notes.chmod(0o777)
        self.prefix = harness.Prefix.small(self.scratch / "prefix", [])
        self.prefix.module("Faller", FALLER)
        self.broker = Broker(self)
        self.broker.retained()  # what an observer leaves in the scratch directory is there from now on
        wait_until(lambda: self.connections() == 0, "the broker to be left by its observer")
        self.background = []
        self.begin_s = time.monotonic()

    # ---- The charger ----

    def tell(self, module, falls=0, ready=True, slow_ms=0, listed=False):
        """See faller.cpp. Its files belong to whoever the module is."""
        for suffix in ("", ".lock"):
            path = self.notes / f"{module}{suffix}"
            path.touch()
            path.chmod(0o666)
        new = self.notes / f"{module}.told.new"
        new.write_text(f"{SEED} {falls} {int(ready)} {slow_ms} {int(listed)}\n")
        new.chmod(0o644)
        new.rename(self.notes / f"{module}.told")

    def configure(self, modules, policies=None, everyone=None):
        everybody = {"restart": {"policy": "always", "delay": 0, "burst": 1000, "stable_after": 3600},
                     "shutdown": {"timeout": 0.5}, "limits": {"LimitCORE": 0}, **(everyone or {})}
        self.prefix.write("etc/everest/belay.yaml",
                          harness.json.dumps({"modules": {"*": everybody, **(policies or {})},
                                              "broker": {"connect_timeout": 20}}))
        return self.prefix.configure({module: "Faller" for module in modules}, run_as_user="everest",
                                     **self.broker.settings)

    def begin(self, modules, *options, until="ALL_MODULES_STARTED", policies=None, everyone=None):
        self.modules = modules
        self.manager = self.start(self.prefix, self.configure(modules, policies, everyone), *options)
        if until:
            self.manager.wait_for(until)
        return self.manager

    def halves(self):
        """The launcher's and the manager's pid, as soon as there are two."""
        def found():
            try:
                return self.manager.pid, self.manager.manager_pid()
            except (StopIteration, FileNotFoundError, ProcessLookupError):
                return None
        return wait_until(found, lambda: f"the manager: {self.manager}")

    def falls(self, module):
        """What it did, by its own notes."""
        text = (self.notes / module).read_text()
        self.assertEqual(len(text) % LINE_SIZE, 0)
        fields = [line.split() for line in text.splitlines()]
        return [Fall(int(pid), way, moment, company, int(stray), survivor)
                for pid, way, moment, company, stray, survivor in fields]

    def count_falls(self):
        return sum((self.notes / module).stat().st_size // LINE_SIZE for module in self.modules)

    def freeze(self, pid):
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: harness.status_of(pid)["State"].startswith("T"), f"{pid} to be stopped")
        return pid

    # ---- The phases of its life ----

    def reach(self, phase):
        """A charger in this phase, and the pids of its halves."""
        for module in self.MODULES:
            self.tell(module, falls=len(self.falls(module)) if (self.notes / module).exists() else 0)
        if phase == "starting":
            self.tell("late", falls=len(self.falls("late")), ready=False)
        if phase == "stopping":
            self.tell("slow", falls=len(self.falls("slow")), slow_ms=400)
        if phase == "falling":
            self.tell("late", falls=1_000_000)
        self.falls_before = len(self.falls("late"))
        self.begin(self.MODULES, until=None)
        found = self.halves()
        wait = {"initializing": None, "starting": "MANAGER_STARTING_MODULES", "falling": "MANAGER_STARTING_MODULES"}
        if line := wait.get(phase, "ALL_MODULES_STARTED"):
            self.manager.wait_for(line)
        if phase == "stopping":
            self.manager.send(signal.SIGINT)
            self.manager.wait_for("MANAGER_FORCE_TERMINATING")
        if phase in ("starting", "falling", "initializing"):
            time.sleep(self.random.uniform(0, 0.03))  # anywhere in it
        return found

    def assert_logged(self):
        """Since `reach`: of every fall the log has pid and cause, but for the last, which may have come too late."""
        pids = [fall.pid for fall in self.falls("late")[self.falls_before:]]
        logged = list(map(int, re.findall(r"^warning: late \(pid (\d+)\): ended: ", self.manager.log, re.M)))
        self.assertEqual(logged, pids[:len(logged)], self.manager)
        self.assertLessEqual(len(pids) - len(logged), 1, self.manager)

    def clear(self):
        """The next manager clears what the last one could not."""
        for module in self.MODULES:
            self.tell(module, falls=len(self.falls(module)))
        self.begin(self.MODULES)
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.assert_nobody_left()
        self.manager.close_fifo()

    # ---- What is left ----

    def companions(self):
        """Processes of the test itself, and chargers that are waited for elsewhere."""
        found = {self.broker.process.pid} if self.broker.process.poll() is None else set()
        for manager in self.background:
            found |= set(world.lineages(manager.pid))
        return found

    def assert_nobody_left(self):
        """Every process that ever was has ended, and none waits to be reaped but by us, whose orphans they are."""
        def nobody():
            left = {pid: state for pid, state in processes().items() if pid not in self.companions()}
            for pid, (state, parent) in left.items():
                if state == "Z" and parent == os.getpid() and pid != self.manager.pid:
                    os.waitpid(pid, 0)
            return not left
        wait_until(nobody, lambda: f"somebody is left: {self.describe()}: {self.manager}", END_S)

    def describe(self):
        return {pid: (*state, *harness.argv_of(pid)[:1]) for pid, state in processes().items()
                if pid not in self.companions()}

    def connections(self):
        """How many the broker has; its other socket is the one that listens."""
        return sum(line.endswith(f" {self.broker.socket}")
                   for line in pathlib.Path("/proc/net/unix").read_text().splitlines()) - 1

    def control_groups(self):
        return sum(1 for _ in os.walk(self.control_group)) if self.control_group else 0

    def surroundings(self):
        """What a charger must leave as it was."""
        return {"mounts": len(pathlib.Path("/proc/self/mountinfo").read_text().splitlines()),
                "sockets": len(pathlib.Path("/proc/net/unix").read_text().splitlines()),
                "keys": keys(), "control groups": self.control_groups(),
                "files": files_below("/dev/shm", "/home/everest", self.prefix.path / "libexec"),
                "descriptors of the broker": descriptors(self.broker.process.pid)}

    def assert_as_before(self, before):
        """Some of it is freed by the kernel in its own time."""
        self.assertEqual(self.broker.retained(), {})

        def changes():
            return {key: (before[key], now) for key, now in self.surroundings().items() if now != before[key]}
        wait_until(lambda: not changes(), lambda: f"before and now: {changes()}", END_S)
