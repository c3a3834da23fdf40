# SPDX-License-Identifier: Apache-2.0
"""A booted Debian: systemd as process 1 in a container with a network, process ids and control groups (v2) of its own.
What runs inside ends with the container, and what it wrote goes."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from box import Box, CLEAN, wait_until

# A control group of its own: without, all containers of this machine would share one. The overlay is mounted in a mount
# namespace that ends with systemd-nspawn.
START = """
echo $$ >"$4/cgroup.procs"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
exec systemd-nspawn --directory="$2/root" --boot --register=no --keep-unit --private-network --link-journal=no \
    --system-call-filter=@known --resolv-conf=off --timezone=off --console=pipe --quiet --machine="$3"
"""


def control_groups():
    """Where cgroup v2 is mounted."""
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    return pathlib.Path(next(target for _, target, kind, *_ in mounts if kind == "cgroup2"))


class Container(Box):
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
            wait_until(self.is_booted, self.console)
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

    def execute(self, command, timeout):
        return subprocess.run(["nsenter", "--target", str(self._leader), "--all", "--", *command], check=False,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", env=CLEAN,
                              timeout=timeout)

    def path(self, name):
        """A file inside, as seen from outside."""
        return pathlib.Path(f"/proc/{self._leader}/root") / str(name).lstrip("/")

    def read(self, name):
        return self.path(name).read_text()

    def remove(self, name):
        self.path(name).unlink(missing_ok=True)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def copy(self, source, name):
        shutil.copy(source, self.path(name))
