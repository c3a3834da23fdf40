# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: a scratch prefix that belongs to root, and the real manager in it.

The broker and what listens to it are in mqtt.py. Everything waits for a condition with a deadline, and everything that
was started is ended by its pid when a test ends, however it ends.
"""

import grp
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from processes import alive, argv_of, children_of, processes_below, status_of
from waiting import PATIENCE, wait_until

MANAGER = os.environ["BELAY_MANAGER"]
LAUNCHER = os.environ["BELAY_LAUNCHER"]
STANDIN = os.environ["BELAY_STANDIN"]
STANDIN_LIKE_RUST = os.environ["BELAY_STANDIN_LIKE_RUST"]
SHARED = pathlib.Path(os.environ.get("BELAY_EVEREST_SHARED", "/nonexistent"))
SANITIZED = os.environ.get("BELAY_SANITIZE") == "ON"

START = ["MANAGER_INITIALIZING", "MANAGER_STARTING_MODULES", "MANAGER_RUNNING", "ALL_MODULES_STARTED"]
STOP = ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_REQUESTED", "MANAGER_FORCE_TERMINATING", "MANAGER_SHUTDOWN_FINALIZING",
        "MANAGER_EXITING"]

needs_everest = unittest.skipUnless((SHARED / "everest").is_dir(), f"EVerest's data is not in {SHARED}")

os.umask(0o022)


def everest_user():
    """The user that modules run as; created, and said so, where it is missing."""
    try:
        return pwd.getpwnam("everest")
    except KeyError:
        print("creating the user `everest`", file=sys.stderr)
        subprocess.run(["useradd", "--system", "--create-home", "--home-dir", "/home/everest", "--shell",
                        "/usr/sbin/nologin", "everest"], check=True)
        return pwd.getpwnam("everest")


def groups_of(user):
    return sorted(os.getgrouplist(user.pw_name, user.pw_gid))


def group_name(gid):
    return grp.getgrgid(gid).gr_name


SCHEMAS = {
    "config": {"type": "object", "additionalProperties": False,
               "properties": {"settings": {"type": "object"}, "active_modules": {"type": "object"}}},
    "manifest": {"type": "object"},
    "interface": {"type": "object"},
    "type": {"type": "object"},
    "error-declaration-list": {"type": "object"},
}

MANIFEST = {
    "description": "A thing",
    "config": {"level": {"type": "number", "description": "how high", "default": 1, "minimum": 0,
                         "mutability": "ReadWrite"},
               "label": {"type": "string", "description": "what it says", "default": "none"}},
    "provides": {"main": {"interface": "thing", "description": "it",
                          "config": {"speed": {"type": "integer", "description": "how fast", "default": 3}}}},
    "requires": {"other": {"interface": "thing", "min_connections": 0, "max_connections": 8}},
    "metadata": {"license": "https://opensource.org/licenses/Apache-2.0", "authors": ["Belay"]},
}

THING = {"description": "A thing", "vars": {"height": {"type": "number", "description": "now"}},
         "cmds": {"move": {"description": "go", "arguments": {"to": {"type": "number", "description": "where"}}}}}


class Prefix:
    """An installed EVerest prefix with this build's manager and launcher. Every file is root's."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.configs = self.path / "etc/everest"
        self.modules = self.path / "libexec/everest/modules"
        self.install(MANAGER, "bin/manager")
        self.install(LAUNCHER, "libexec/everest/launcher")
        self.install(STANDIN, "libexec/everest/standin")

    @classmethod
    def small(cls, path, modules=("Thing",)):
        """One interface, and C++ modules of it."""
        prefix = cls(path)
        for name, schema in SCHEMAS.items():
            prefix.write(f"share/everest/schemas/{name}.yaml", json.dumps(schema))
        for name in ("types", "errors", "www"):
            (prefix.path / "share/everest" / name).mkdir(parents=True)
        prefix.write("share/everest/interfaces/thing.yaml", json.dumps(THING))
        prefix.write("etc/everest/default_logging.cfg", "[Core]\n")
        for name in modules:
            prefix.module(name)
        return prefix

    @classmethod
    def everest(cls, path):
        """EVerest's own data; each module is played by the stand-in."""
        prefix = cls(path)
        shutil.copytree(SHARED / "everest", path, dirs_exist_ok=True, copy_function=shutil.copyfile)
        for directory, _, files in os.walk(path):
            os.chmod(directory, 0o755)
        for manifest in prefix.modules.glob("*/manifest.yaml"):
            name = manifest.parent.name
            os.link(prefix.path / "libexec/everest/standin", manifest.parent / name)
        return prefix

    def write(self, name, text, mode=0o644):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def install(self, source, name):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)
        path.chmod(0o755)
        return path

    def module(self, name, program=STANDIN, manifest=None):
        """A native module."""
        self.write(f"libexec/everest/modules/{name}/manifest.yaml", json.dumps(manifest or MANIFEST))
        return self.install(program, f"libexec/everest/modules/{name}/{name}")

    def script(self, name, file, text):
        """A module in Python (module.py) or JavaScript (index.js), or a native one that is a script (its name)."""
        self.write(f"libexec/everest/modules/{name}/manifest.yaml", json.dumps(MANIFEST))
        return self.write(f"libexec/everest/modules/{name}/{file}", text, 0o755)

    def configure(self, modules, name="charger", **settings):
        """Writes a configuration: module id → entry, or just the name of its module."""
        entries = {key: {"module": entry} if isinstance(entry, str) else entry for key, entry in modules.items()}
        text = json.dumps({"settings": settings, "active_modules": entries}, indent=1)
        return self.write(f"etc/everest/{name}.yaml", text)

    def behave(self, **behaviours):
        """Makes stand-ins misbehave: module id → see standin.cpp."""
        return self.write("share/everest/standin.json", json.dumps(behaviours))

    def processes(self):
        return processes_below(self.path)


class Manager:
    """bin/manager at work, with its status FIFO and what it wrote."""

    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}

    def __init__(self, directory, prefix, config, *options, environment=None, user=None, fifo=None,
                 stdin=subprocess.DEVNULL, stderr=None, wrap=list):
        """`wrap`: makes of the command that starts it another one."""
        directory.mkdir()
        self.prefix = prefix
        self._log = directory / "stderr"
        self._output = directory / "stdout"
        own_fifo = directory / "status"
        os.mkfifo(own_fifo)
        identity = {}
        if user is not None:
            os.chown(own_fifo, user.pw_uid, user.pw_gid)
            identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups_of(user)}
        self._fifo = os.open(own_fifo, os.O_RDONLY | os.O_NONBLOCK)
        self._own_fifo, self._writer = own_fifo, None
        self._bytes = b""
        self.fifo_closed = False
        with open(self._log, "wb") as log, open(self._output, "wb") as output:
            self.process = subprocess.Popen(
                wrap([prefix.path / "bin/manager", "--prefix", prefix.path, *(["--config", config] if config else []),
                      "--status-fifo", fifo or own_fifo, *options]),
                stdin=stdin, stdout=output, stderr=log if stderr is None else stderr, start_new_session=True,
                env=self.environment if environment is None else environment, **identity)

    @property
    def log(self):
        return self._log.read_text(errors="replace")

    @property
    def output(self):
        return self._output.read_text()

    @property
    def pid(self):
        """The launcher: it keeps the pid that was started."""
        return self.process.pid

    def manager_pid(self):
        """The unprivileged half."""
        return next(pid for pid, name in self.names_of_children() if name.endswith("/bin/manager"))

    def names_of_children(self):
        """Pids and arguments 0, of those that execute something."""
        found = []
        for pid in children_of(self.pid):
            try:
                found.append((pid, argv_of(pid)[0]))
            except (FileNotFoundError, ProcessLookupError, IndexError):
                continue  # it ended meanwhile
        return found

    def module_pids(self):
        """Native modules: id → pid."""
        return {name.partition(":")[0]: pid for pid, name in self.names_of_children() if ":" in name}

    def successor(self, module, before):
        """The pid of a native module, once it is another one than `before`."""
        pid = self.module_pids().get(module)
        return pid if pid != before else None

    def status(self):
        """The status lines until now."""
        while self._fifo is not None and not self.fifo_closed:
            try:
                part = os.read(self._fifo, 65536)
            except BlockingIOError:
                break
            if not part:
                # End of file: nobody has it open for writing, or nobody has had yet.
                self.fifo_closed = bool(self._bytes)
                break
            self._bytes += part
        return self._bytes.decode().splitlines()

    def hold_fifo(self):
        """For a reload: between two managers nobody else has it open for writing."""
        self._writer = os.open(self._own_fifo, os.O_WRONLY)

    def release_fifo(self):
        if self._writer is not None:
            os.close(self._writer)
        self._writer = None

    def close_fifo(self):
        self.release_fifo()
        if self._fifo is not None:
            os.close(self._fifo)
        self._fifo = None

    def wait_for(self, line, timeout=PATIENCE):
        def seen():
            ended = self.process.poll() is not None
            if line in self.status():
                return True
            if ended:
                raise AssertionError(f"ended without {line}: {self}")
            return False
        wait_until(seen, lambda: f"{line}: {self}", timeout)
        return self

    def wait_for_log(self, text, timeout=PATIENCE):
        wait_until(lambda: text in self.log, lambda: f"{text!r} in the log: {self}", timeout)

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=PATIENCE):
        """The exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {timeout} s: {self}") from None

    def stop(self, number=signal.SIGINT):
        self.send(number)
        return self.wait()

    def end(self):
        """Whatever is left of it, for tests that failed."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.prefix.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        wait_until(lambda: not self.prefix.processes(), "the end of what the test left behind")
        self.close_fifo()

    def __str__(self):
        return f"exit code {self.process.poll()}, status lines {self.status()}, log:\n{self.log}"


class Case(unittest.TestCase):
    """A test with a scratch directory of its own."""

    maxDiff = None

    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="belay-"))
        self.scratch.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.scratch)
        self.everest = everest_user()
        self._managers = 0

    def start(self, prefix, config, *options, **more):
        self._managers += 1
        manager = Manager(self.scratch / f"manager-{self._managers}", prefix, config, *options, **more)
        self.addCleanup(manager.end)
        return manager

    def assert_refused(self, manager, *texts):
        """It ended with exit code 1 before any module was started, and said why."""
        self.assertEqual(manager.wait(), 1, manager)
        self.assertNotIn("MANAGER_STARTING_MODULES", manager.status(), manager)
        for text in texts:
            self.assertIn(str(text), manager.log)
        self.assertEqual(manager.prefix.processes(), [])

    def assert_nothing_left(self, manager, broker):
        """No process, no writer of the status FIFO, no retained topic."""
        self.assertEqual(manager.prefix.processes(), [], manager)
        manager.status()
        self.assertTrue(manager.fifo_closed, "somebody still has the status FIFO open")
        self.assertEqual(broker.retained(), {})


def main():
    """Runs the tests of a file; 77, which ctest counts as skipped, without root or if all of them were skipped."""
    if os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    result = unittest.main(module="__main__", exit=False).result
    for test, why in result.skipped:
        print(f"skipped: {test}: {why}")
    if result.testsRun > 0 and len(result.skipped) == result.testsRun:
        sys.exit(77)
    sys.exit(0 if result.wasSuccessful() else 1)
