# SPDX-License-Identifier: Apache-2.0
"""The charger that is attacked, and the same attempts where nothing protects."""

import json
import os
import pathlib
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys

import harness
import world
from notifications import Notifications
from test_languages import HAND_ON, JAVASCRIPT, NODE, PYTHON
from world import HOME, UID

HOSTILE = os.environ["BELAY_HOSTILE"]
PRELOAD = os.environ["BELAY_PRELOAD"]
LIMITS = {"processes": 64, "descriptors": 128, "megabytes": 256, "locked_megabytes": 1, "file_megabytes": 24,
          "queues": 2, "signals": 64}
LOG_MEGABYTES = 8

# Many packages look for what makes them faster, and do without.
OPTIONAL = ("try { require('optional_dependency'); } "
            "catch (error) { if (error.code !== 'MODULE_NOT_FOUND') throw error; }\n")
NEIGHBOURS = {"plain": "Plain", "privileged": "Privileged", "script": "Script"}
PRIVILEGED = ("privileged", "script")
# They need a charger, or would be unkind to the machine.
NOT_UNPROTECTED = ["bus", "bus only", "survivors", "processes: kill: -1", "files: /etc/ld.so.preload",
                   "files: plant code at home", "resources: all of /dev/shm", "resources: the log"]


def as_everest(command, **more):
    return subprocess.run(command, user=UID, group=UID, extra_groups=[], check=False, **more)


def file_capability(path, number):
    """cap_…+ep, as setcap(8) writes it."""
    os.setxattr(path, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << number, 0, 0, 0))


def cgroup_directories():
    entries = (line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines())
    return [entry[1] for entry in entries if entry[2] in ("cgroup", "cgroup2")]


class Charger:
    """A prefix with the hostile module and its neighbours, and what lies about around it."""

    def __init__(self, case):
        self.case = case
        self.scratch = case.scratch
        self.secret = "secret-" + secrets.token_hex(8)
        self.prefix = harness.Prefix.small(self.scratch / "prefix", ["Plain", "Late"])
        self.prefix.module("Hostile", HOSTILE)
        self.prefix.script("Privileged", "module.py", PYTHON + HAND_ON)
        self.prefix.script("Script", "index.js", OPTIONAL + JAVASCRIPT)
        self.prefix.install(PRELOAD, "share/everest/preload.so")
        for name in ("setuid", "setgid", "capable"):
            self.prefix.install(HOSTILE, f"bin/{name}")
        (self.prefix.path / "bin/setuid").chmod(0o4755)
        (self.prefix.path / "bin/setgid").chmod(0o2755)
        file_capability(self.prefix.path / "bin/capable", 12)
        (self.prefix.configs / "user-config").mkdir()
        self.secret_file = self.scratch / "secret"
        self.secret_file.write_text(self.secret)
        self.secret_file.chmod(0o600)
        self.open_directory = self.scratch / "open"
        self.open_directory.mkdir()
        os.chown(self.open_directory, UID, UID)
        self.notifications = Notifications(self.scratch / "notify")
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0belay-attack-{self.secret}")
        self.abstract.listen()
        self.terminals = os.openpty()
        case.addCleanup(self._close)
        self.key = world.key_of_root(self.secret)

    def _close(self):
        self.notifications.close()
        self.abstract.close()
        for descriptor in self.terminals:
            os.close(descriptor)
        for entry in (*HOME.iterdir(), *pathlib.Path("/dev/shm").iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def told(self, prefix=None, **more):
        """attack.json's entry for one module."""
        prefix = prefix or self.prefix
        path = prefix.path
        directory = prefix.modules / "Hostile"
        directories = [path, path / "bin", path / "libexec/everest", prefix.modules, directory, prefix.configs,
                       prefix.configs / "user-config", path / "share/everest", self.scratch]
        result = {
            "only": [], "skipped": [], "early": False, "uid": UID, "home": str(HOME), "declared": 0,
            "secret": self.secret,
            "module_directory": str(directory), "binary": str(directory / "Hostile"),
            "manifest": str(directory / "manifest.yaml"), "configuration": str(prefix.configs / "charger.yaml"),
            "belay_yaml": str(prefix.configs / "belay.yaml"), "manager_program": str(path / "bin/manager"),
            "launcher_program": str(path / "libexec/everest/launcher"),
            "interface": str(path / "share/everest/interfaces/thing.yaml"),
            "neighbours_program": str(prefix.modules / "Privileged/module.py"), "neighbour": "plain",
            "directories": list(map(str, directories)), "secret_file": str(self.secret_file),
            "open_directory": str(self.open_directory), "status_fifo": str(self.scratch / "manager-1/status"),
            "preload_library": str(path / "share/everest/preload.so"), "python": python_directory(),
            "notify_socket": str(self.notifications.path), "abstract_socket": f"belay-attack-{self.secret}",
            "key": self.key, "loader": loader(), "cgroups": cgroup_directories(),
            "shm_megabytes": world.SHM_MEGABYTES, "log_megabytes": LOG_MEGABYTES,
            **{f"{name}_program": str(path / "bin" / name) for name in ("setuid", "setgid", "capable")},
            **{f"limit_{name}": value for name, value in LIMITS.items()},
        }
        return result | more

    def tell(self, **modules):
        self.prefix.write("share/everest/attack.json", json.dumps(modules))

    def configure(self, capabilities, broker, hostile=None, modules=None, **policy_of_hostile):
        """Writes configuration and belay.yaml."""
        entries = {"hostile": {"module": "Hostile", "capabilities": capabilities, **(hostile or {})}}
        for module, name in (NEIGHBOURS if modules is None else modules).items():
            entries[module] = {"module": name}
            if module in PRIVILEGED:
                entries[module]["capabilities"] = ["CAP_NET_RAW"]
        restart = {"policy": "on-failure", "delay": 0.05}
        policy = {"capabilities": capabilities, "restart": restart, "limits": {
            "LimitNPROC": LIMITS["processes"], "LimitNOFILE": LIMITS["descriptors"],
            "LimitAS": f"{LIMITS['megabytes']}M", "LimitMEMLOCK": f"{LIMITS['locked_megabytes']}M",
            "LimitFSIZE": f"{LIMITS['file_megabytes']}M", "LimitMSGQUEUE": 200000,
            "LimitSIGPENDING": LIMITS["signals"], "LimitCORE": 0}}
        policy |= policy_of_hostile
        self.prefix.write("etc/everest/belay.yaml", json.dumps({"modules": {
            "Hostile": policy, "Privileged": {"restart": restart}, "Script": {"restart": restart}}}))
        return self.prefix.configure(entries, run_as_user="everest", **broker.settings)

    def environment(self):
        """The manager's own: nothing of it is for a module."""
        return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "NOTIFY_SOCKET": str(self.notifications.path),
                "WATCHDOG_USEC": "5000000", "SECRET": self.secret, "LD_BIND_NOW": "1",
                "LD_LIBRARY_PATH": "/nonexistent", "PYTHONPATH": "/nonexistent", "NODE_OPTIONS": "--no-warnings",
                "EV_MODULE": "somebody", "EV_PREFIX": "/", "MALLOC_PERTURB_": "1", "CREDENTIALS_DIRECTORY": "/run"}


def loader():
    """ld.so of this architecture: that of this very program."""
    maps = pathlib.Path("/proc/self/maps").read_text().split()
    return next(text for text in maps if "/ld-linux" in text)


def python_directory():
    version = subprocess.run(["/usr/bin/python3", "-c", "import sys; print('python%d.%d' % sys.version_info[:2])"],
                             check=True, capture_output=True, text=True)
    return version.stdout.strip()


class Control:
    """Runs the hostile program without the manager: as root, and as everest; with what a manager must not leave."""

    def __init__(self, charger):
        self.charger = charger
        self.prefix = harness.Prefix.small(charger.scratch / "control", ["Plain"])
        self.prefix.module("Hostile", HOSTILE)
        self.prefix.script("Privileged", "module.py", PYTHON + HAND_ON)
        self.prefix.install(PRELOAD, "share/everest/preload.so")
        self.prefix.write("etc/everest/belay.yaml", "")
        self.prefix.write("etc/everest/charger.yaml", "")
        (self.prefix.configs / "user-config").mkdir()
        self.environment = charger.environment() | {"LD_LIBRARY_PATH": ""}

    def run(self):
        """attempt → "root" or "user", as whom it succeeded."""
        succeeded = {}
        for name, user in (("user", UID), ("root", 0)):
            for line in self._attack(user):
                if line["escaped"]:
                    succeeded.setdefault(f"{line['group']}: {line['attempt']}", name)
        return succeeded

    def _victim(self, user):
        process = subprocess.Popen([HOSTILE, "--victim"], user=user, group=user, extra_groups=[], env=self.environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        self.charger.case.addCleanup(process.stdout.close)
        self.charger.case.addCleanup(process.wait)
        self.charger.case.addCleanup(process.kill)
        if process.stdout.readline() != b"here\n":
            raise AssertionError("no victim")
        return process.pid

    def _attack(self, user):
        manager, first, second = (self._victim(UID) for _ in range(3))
        names = {"setuid_program", "setgid_program", "capable_program"}
        programs = {name: value for name, value in self.charger.told().items() if name in names}
        told = self.charger.told(self.prefix, **programs, launcher=self._victim(0), manager=manager,
                                 neighbours=[first, second], skipped=NOT_UNPROTECTED)
        told["uid"] = user
        fifo = self.charger.scratch / f"fifo-{user}"
        os.mkfifo(fifo)
        told["status_fifo"] = str(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        file = self.charger.scratch / f"control-{user}.json"
        file.write_text(json.dumps(told))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            result = subprocess.run([HOSTILE, "--control", file], user=user, group=user, extra_groups=[],
                                    env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                    pass_fds=[theirs.fileno()], timeout=harness.PATIENCE, check=False)
        os.close(reader)
        if result.returncode != 0:
            raise AssertionError(f"the control ended with {result.returncode}: {result.stderr}")
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        if os.environ.get("BELAY_ATTACK_VERBOSE"):
            for line in lines:
                print("control", user, json.dumps(line), file=sys.stderr)
        return lines


def planted_code_runs():
    """Where nothing keeps them from it, which of the interpreters run what was planted at home."""
    environment = {"HOME": str(HOME), "PATH": "/usr/bin:/bin"}
    commands = {"python": ["/usr/bin/python3", "-c", "pass"], "node": [NODE, "-e", OPTIONAL],
                "preload": ["/bin/sh", "-c", f". {HOME}/.profile; exec /bin/true"]}
    for command in commands.values():
        as_everest(command, env=environment)
    return {name for name in commands if (HOME / f"ran-{name}").exists()}


def survive_unprotected(charger):
    """What is to outlive the module does so where nobody ends it; then it is ended."""
    groups = ["identities", "capabilities", "execution", "namespaces", "mounts", "kernel", "processes", "scheduling",
              "/proc", "inheritance", "terminals", "keyrings", "files", "network", "resources", "bus",
              "survivors: System V memory", "bus only"]
    file = charger.scratch / "survivors.json"
    file.write_text(json.dumps(charger.told(skipped=groups, launcher=1, manager=1, neighbours=[1])))
    directory = charger.scratch / "survivors"
    directory.mkdir()
    program = shutil.copy(HOSTILE, directory / "program")
    as_everest([program, "--control", file], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    survivors = harness.wait_until(lambda: enough(harness.processes_below(directory)), "survivors")
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)
    harness.wait_until(lambda: not harness.processes_below(directory), "their end")


def enough(pids):
    """Three of one attempt and two of the other."""
    return pids if len(pids) == 5 else None
