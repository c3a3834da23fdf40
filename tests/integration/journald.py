# SPDX-License-Identifier: Apache-2.0
"""A real systemd-journald of our own, without a booted systemd: in a mount namespace with its own /run.

enter_namespace() must come first; everything that the process starts afterwards speaks with this journald.
"""

import ctypes
import json
import os
import pathlib
import shutil
import socket
import subprocess

from harness import wait_until

JOURNALD = "/lib/systemd/systemd-journald"
CLONE_NEWNS = 0x00020000
RUN = pathlib.Path("/run/systemd/journal")
CATALOG = "/usr/lib/systemd/catalog"
CONFIGURATION = "[Journal]\nStorage=volatile\nAudit=\nRateLimitIntervalSec=0\nForwardToWall=no\nReadKMsg=no\n"


def mount(kind, target):
    subprocess.run(["mount", "-t", kind, "none", target], check=True)


def enter_namespace():
    """/run, the catalog and its database are this process's own from now on."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    pathlib.Path("/var/lib/systemd/catalog").mkdir(parents=True, exist_ok=True)
    for target in ("/run", CATALOG, "/var/lib/systemd/catalog"):
        mount("tmpfs", target)
    os.makedirs("/run/systemd/journald.conf.d")
    pathlib.Path("/run/systemd/journald.conf.d/test.conf").write_text(CONFIGURATION)


class Journald:
    def __init__(self, case):
        self._case = case
        self.process = None
        shutil.rmtree("/run/log", ignore_errors=True)  # of the test before
        self.start()

    def start(self):
        self.process = subprocess.Popen([JOURNALD], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._case.addCleanup(self.kill)
        wait_until(self._listens, "journald")

    @staticmethod
    def _listens():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_UNIX) as other:
            try:
                one.connect(str(RUN / "socket"))
                other.connect(str(RUN / "stdout"))
                return True
            except OSError:
                return False

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    @staticmethod
    def stream(identifier, unit=""):
        """What systemd gives a service as standard error, and its JOURNAL_STREAM."""
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(str(RUN / "stdout"))
        stream.sendall(f"{identifier}\n{unit}\n6\n1\n0\n0\n0\n".encode())
        return stream, journal_stream(stream)

    @staticmethod
    def show(*matches, options=("-o", "json", "--all")):
        return subprocess.run(["journalctl", "-q", "-b", *options, *matches], check=True, stdout=subprocess.PIPE,
                              text=True).stdout

    def entries(self, *matches):
        return [json.loads(line) for line in self.show(*matches).splitlines()]

    def wait_for(self, *matches, count=1, where=lambda entry: True):
        """The entries that match, as soon as there are so many."""
        def found():
            entries = [entry for entry in self.entries(*matches) if where(entry)]
            return entries if len(entries) >= count else None
        return wait_until(found, lambda: f"{count} entries of {matches} in the journal:\n" +
                          self.show(options=("-o", "short", "--all")))


def journal_stream(connected):
    status = os.fstat(connected.fileno())
    return f"{status.st_dev}:{status.st_ino}"
