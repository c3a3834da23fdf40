# SPDX-License-Identifier: Apache-2.0
"""A booted Debian, whatever it is booted in (container.py, ../board.py), and its units. Everything waits for a condition
with a deadline."""

import os
import pathlib
import sys
import typing

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "integration"))

import waiting  # noqa: E402

PATIENCE = float(os.environ.get("BELAY_PATIENCE", "60"))  # seconds; a wait that takes this long has failed
CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root",
         "DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}


def wait_until(condition, what, timeout=PATIENCE):
    """As waiting.wait_until(); to look takes a command inside."""
    return waiting.wait_until(condition, what, timeout, pause=PATIENCE / 1200)


class Failed(AssertionError):
    """A command inside did not end with 0."""


class Box:
    """What all have in common. Each has an `execute`, and `read`, `write`, `remove` and `copy` for files."""

    def execute(self, command, timeout):
        """Runs a command inside, as root; the result has returncode, and stdout and stderr as text."""
        raise NotImplementedError

    def run(self, *command, check=True, timeout=PATIENCE):
        done = self.execute(list(map(str, command)), timeout)
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def output(self, *command, **options):
        return self.run(*command, **options).stdout.strip()

    def is_booted(self):
        """With all units that it should have."""
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        if state == "degraded":
            raise Failed(self.run("systemctl", "--failed", "--no-legend").stdout)
        return state == "running"


class Process(typing.NamedTuple):
    group: str
    arguments: str


class Service:
    """A unit inside."""

    def __init__(self, box, name):
        self._box = box
        self.name = name

    def show(self, *properties):
        """systemctl show: name → value."""
        text = self._box.output("systemctl", "show", f"--property={','.join(properties)}", self.name)
        return dict(line.split("=", 1) for line in text.splitlines())

    def get(self, one):
        return self.show(one)[one]

    def main_pid(self):
        return int(self.get("MainPID"))

    def systemctl(self, verb, **options):
        return self._box.run("systemctl", verb, self.name, **options)

    def wait_for(self, state, timeout=PATIENCE):
        wait_until(lambda: self.get("ActiveState") == state, lambda: f"{self.name} {state}\n{self.describe()}", timeout)

    def describe(self):
        return (self._box.run("systemctl", "status", "--full", self.name, check=False).stdout +
                self._box.run("journalctl", "--unit", self.name, "--no-pager", "--lines=60", check=False).stdout)

    def journal(self, *options):
        return self._box.output("journalctl", "--unit", self.name, "--no-pager", "--output=cat", *options)

    def starts(self):
        """How often systemd has said that it is started."""
        return len(self._box.output("journalctl", "--no-pager", "--output=cat", f"UNIT={self.name}",
                                    "MESSAGE_ID=39f53479d3a045ac8e11786248231fbf").splitlines())

    def processes(self):
        """All of its control group: pid inside → the group's path below its own, and the arguments."""
        script = 'cd "/sys/fs/cgroup$1" && find . -name cgroup.procs | while read -r file; do ' \
                 'while read -r pid; do printf "%s %s " "$pid" "${file%/cgroup.procs}"; ' \
                 'tr "\\0" " " <"/proc/$pid/cmdline"; echo; done <"$file"; done'
        group = self.get("ControlGroup")
        if not group:
            return {}
        lines = self._box.output("sh", "-c", script, "sh", group, check=False).splitlines()
        return {int(pid): Process(group.removeprefix("./"), arguments.strip())
                for pid, group, arguments in (f"{line} ".split(" ", 2) for line in lines)}
