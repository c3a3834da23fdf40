# SPDX-License-Identifier: Apache-2.0
"""A booted Debian: systemd as process 1 in a container with a network, process ids and control groups (v2) of its own.

Everything waits for a condition with a deadline. What runs inside ends with the container, and what it wrote goes.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import typing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "integration"))

import waiting  # noqa: E402

PATIENCE = 60  # seconds; a wait that takes this long has failed
CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root",
         "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}

# A control group of its own: without, all containers of this machine would share one. The overlay is mounted in a mount
# namespace that ends with systemd-nspawn.
START = """
echo $$ >"$4/cgroup.procs"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
exec systemd-nspawn --directory="$2/root" --boot --register=no --keep-unit --private-network --link-journal=no \
    --system-call-filter=@known --resolv-conf=off --timezone=off --console=pipe --quiet --machine="$3"
"""


def wait_until(condition, what, timeout=PATIENCE):
    """As waiting.wait_until(); to look takes a command inside."""
    return waiting.wait_until(condition, what, timeout, pause=0.05)


def control_groups():
    """Where cgroup v2 is mounted."""
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    return pathlib.Path(next(target for _, target, kind, *_ in mounts if kind == "cgroup2"))


class Failed(AssertionError):
    """A command inside did not end with 0."""


class Container:
    def __init__(self, base):
        self._stack = contextlib.ExitStack()
        self._scratch = pathlib.Path(tempfile.mkdtemp(prefix="belay-booted-", dir="/tmp"))
        self._stack.callback(shutil.rmtree, self._scratch)
        self._scratch.chmod(0o755)
        for name in ("upper", "work", "root"):
            (self._scratch / name).mkdir()
        self._group = control_groups() / self._scratch.name
        self._group.mkdir()
        self._stack.callback(self._remove_group)
        self._console = self._scratch / "console"
        machine = self._scratch.name.replace("_", "x")  # which a name of a machine may not have
        with self._console.open("wb") as console:
            self._process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-euc", START, "sh", base, self._scratch, machine, self._group],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                env={**CLEAN, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
        self._stack.callback(self._end)
        self._leader = None
        try:
            self._leader = wait_until(self._find_leader, self.console)
            wait_until(self._booted, self.console)
        except BaseException:
            self.close()
            raise

    def console(self):
        return f"the container's console:\n{self._console.read_text(errors='replace')}"

    def _find_leader(self):
        """systemd, which systemd-nspawn starts. It has been found when it has a name of its own for it."""
        if self._process.poll() is not None:
            raise AssertionError(f"systemd-nspawn ended: {self.console()}")
        children = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if pathlib.Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
        return None

    def _booted(self):
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        if state == "degraded":
            raise AssertionError(self.run("systemctl", "--failed", "--no-legend").stdout + self.console())
        return state == "running"

    def _end(self):
        """As the power button of a real one: process 1 kills all when it is killed."""
        if self._leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()

    def _remove_group(self):
        (self._group / "cgroup.kill").write_text("1")
        wait_until(lambda: "populated 0" in (self._group / "cgroup.events").read_text(), "the end of the container's processes")
        for directory, _, _ in os.walk(self._group, topdown=False):
            os.rmdir(directory)

    def close(self):
        self._stack.close()

    def run(self, *command, check=True, timeout=PATIENCE, **options):
        """Runs a command inside, as root; the result has stdout and stderr as text."""
        done = subprocess.run(["nsenter", "--target", str(self._leader), "--all", "--", *command], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", env=CLEAN,
                              timeout=timeout, **options)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def output(self, *command, **options):
        return self.run(*command, **options).stdout.strip()

    def path(self, name):
        """A file inside, as seen from outside."""
        return pathlib.Path(f"/proc/{self._leader}/root") / str(name).lstrip("/")

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def copy(self, source, name):
        """A file or a directory from outside; what is there stays."""
        if pathlib.Path(source).is_dir():
            shutil.copytree(source, self.path(name), dirs_exist_ok=True)
        else:
            shutil.copy(source, self.path(name))


class Process(typing.NamedTuple):
    group: str
    arguments: str


class Service:
    """A unit inside."""

    def __init__(self, container, name):
        self._container = container
        self.name = name

    def show(self, *properties):
        """systemctl show: name → value."""
        text = self._container.output("systemctl", "show", f"--property={','.join(properties)}", self.name)
        return dict(line.split("=", 1) for line in text.splitlines())

    def get(self, one):
        return self.show(one)[one]

    def main_pid(self):
        return int(self.get("MainPID"))

    def systemctl(self, verb, **options):
        return self._container.run("systemctl", verb, self.name, **options)

    def wait_for(self, state, timeout=PATIENCE):
        wait_until(lambda: self.get("ActiveState") == state, lambda: f"{self.name} {state}\n{self.describe()}", timeout)

    def describe(self):
        return (self._container.run("systemctl", "status", "--full", self.name, check=False).stdout +
                self._container.run("journalctl", "--unit", self.name, "--no-pager", "--lines=60", check=False).stdout)

    def journal(self, *options):
        return self._container.output("journalctl", "--unit", self.name, "--no-pager", "--output=cat", *options)

    def starts(self):
        """How often systemd has said that it is started."""
        return len(self._container.output("journalctl", "--no-pager", "--output=cat", f"UNIT={self.name}",
                                          "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf").splitlines())

    def processes(self):
        """All of its control group: pid inside → the group's path below its own, and the arguments."""
        script = 'cd "/sys/fs/cgroup$1" && find . -name cgroup.procs | while read -r file; do ' \
                 'while read -r pid; do printf "%s %s " "$pid" "${file%/cgroup.procs}"; ' \
                 'tr "\\0" " " <"/proc/$pid/cmdline"; echo; done <"$file"; done'
        group = self.get("ControlGroup")
        if not group:
            return {}
        lines = self._container.output("sh", "-c", script, "sh", group, check=False).splitlines()
        return {int(pid): Process(group.removeprefix("./"), arguments.strip())
                for pid, group, arguments in (f"{line} ".split(" ", 2) for line in lines)}
