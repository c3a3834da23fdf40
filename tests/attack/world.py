# SPDX-License-Identifier: Apache-2.0
"""Where the attack takes place: namespaces of the test's own, in which /dev/shm, /home and the terminals are small and
private, and `everest` is a user id that nobody else on the machine has. A hostile module that did get out would find
nothing of the machine's, its limit of processes counts nobody else's, and a control may do as root what it wants."""

import collections
import ctypes
import fcntl
import os
import pathlib
import select
import socket
import struct
import subprocess
import sys
import threading

from processes import parents

INSIDE = "BELAY_ATTACK_INSIDE"
# Of `everest` in here: systemd's range for users that are made up, where two runs at a time hardly meet.
UID = int(os.environ.get(INSIDE) or 61184 + os.getpid() % 4096)
HOME = pathlib.Path("/home/everest")
SHM_MEGABYTES = 8

SYS_ADD_KEY, SYS_KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
KEYCTL_SETPERM = 5
KEY_SPEC_SESSION_KEYRING = -3
NET_RAW = 1 << 13


def enter():
    """Starts this program again in there, once; needs root."""
    if os.geteuid() != 0:
        print("skipped: needs root")
        sys.exit(77)
    if INSIDE not in os.environ:
        os.environ[INSIDE] = str(UID)
        os.execvp("unshare", ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--mount-proc",
                              "--kill-child", "--propagation", "private", "/usr/bin/python3", "-B", *sys.argv])
    furnish()


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def without_everest(line):
    """A line of /etc/group, in which members come last."""
    head, _, members = line.rpartition(":")
    return f"{head}:{','.join(member for member in members.split(',') if member != 'everest')}"


def furnish():
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=0620", "devpts", "/dev/pts")
    mount("--bind", "/dev/pts/ptmx", "/dev/ptmx")
    mount("-t", "tmpfs", "-o", f"size={SHM_MEGABYTES}m,mode=1777", "tmpfs", "/dev/shm")
    mount("-t", "tmpfs", "-o", "size=96m,mode=755", "tmpfs", "/home")
    for name, entry in (("passwd", f"everest:x:{UID}:{UID}::{HOME}:/usr/sbin/nologin"), ("group", f"everest:x:{UID}:")):
        lines = pathlib.Path("/etc", name).read_text().splitlines()
        others = [line for line in lines if not line.startswith("everest:")]
        copy = pathlib.Path("/home", f".{name}")
        copy.write_text("\n".join([*(map(without_everest, others) if name == "group" else others), entry, ""]))
        copy.chmod(0o644)
        mount("--bind", str(copy), f"/etc/{name}")
    HOME.mkdir()
    os.chown(HOME, UID, UID)
    HOME.chmod(0o755)
    with socket.socket() as one:  # the interface lo
        request = struct.pack("16sh22x", b"lo", 1)
        fcntl.ioctl(one, 0x8914, request)  # SIOCSIFFLAGS, IFF_UP


def key_of_root(secret):
    """A key that whoever may call keyctl(2) may read and change; its serial."""
    libc = ctypes.CDLL(None, use_errno=True)
    serial = libc.syscall(SYS_ADD_KEY, b"user", b"belay-attack", secret.encode(), len(secret), KEY_SPEC_SESSION_KEYRING)
    everything = 0x3f3f3f3f
    if serial < 0 or libc.syscall(SYS_KEYCTL, KEYCTL_SETPERM, serial, everything) != 0:
        raise OSError(ctypes.get_errno(), "no key")
    return serial


class Reader:
    """Somebody at a terminal."""

    def __init__(self, terminal):
        self._terminal = terminal
        self._stopped = threading.Event()
        self._bytes = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self):
        """How much was there to read."""
        self._stopped.set()
        self._thread.join()
        return self._bytes

    def _read(self):
        while not self._stopped.is_set():
            if select.select([self._terminal], [], [], 0.05)[0]:
                self._bytes += len(os.read(self._terminal, 65536))


def start_time(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def lineages(pid):
    """The descendants of `pid`, itself included: each with its ancestors up to there."""
    found = {pid: []}
    children = collections.defaultdict(list)
    for child, parent in parents().items():
        children[parent].append(child)
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        for child in children[one]:
            found[child] = [one, *found[one]]
            waiting.append(child)
    return found


def programs_below(pid):
    """Of the descendants of `pid` that still execute something: pid → program and ancestors."""
    found = {}
    for one, ancestors in lineages(pid).items():
        try:
            found[one] = os.readlink(f"/proc/{one}/exe"), ancestors
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ends
    return found


def snapshot(directory):
    """Every file below: kind, mode, owner, names, content."""
    result = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        result[str(path)] = (oct(status.st_mode), status.st_uid, status.st_gid, status.st_nlink, hash(content))
    return result
