# SPDX-License-Identifier: Apache-2.0
"""Where the attack takes place: namespaces of the test's own, in which /dev/shm, /home and the terminals are small and
private, and `everest` is a user id that nobody else on the machine has. A hostile module that did get out would find
nothing of the machine's, its limit of processes counts nobody else's, and a control may do as root what it wants."""

import ctypes
import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading

INSIDE = "BELAY_ATTACK_INSIDE"
UID = 61234  # of `everest` in here
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
        os.environ[INSIDE] = tempfile.mkdtemp(prefix="belay-world-")
        code = subprocess.run(["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--mount-proc",
                               "--kill-child", "--propagation", "private", "/usr/bin/python3", "-B", *sys.argv]).returncode
        for file in ("passwd", "group"):
            (pathlib.Path(os.environ[INSIDE]) / file).unlink(missing_ok=True)
        os.rmdir(os.environ[INSIDE])
        sys.exit(code)
    furnish(pathlib.Path(os.environ[INSIDE]))


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def furnish(directory):
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=0620", "devpts", "/dev/pts")
    mount("--bind", "/dev/pts/ptmx", "/dev/ptmx")
    mount("-t", "tmpfs", "-o", f"size={SHM_MEGABYTES}m,mode=1777", "tmpfs", "/dev/shm")
    mount("-t", "tmpfs", "-o", "size=96m,mode=755", "tmpfs", "/home")
    for name, entry in (("passwd", f"everest:x:{UID}:{UID}::{HOME}:/usr/sbin/nologin"), ("group", f"everest:x:{UID}:")):
        lines = [line for line in pathlib.Path("/etc", name).read_text().splitlines() if "everest" not in line]
        copy = directory / name
        copy.write_text("\n".join([*lines, entry, ""]))
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


class Notifications:
    """systemd's end of sd_notify(3): everybody may write to it, and the kernel says who did."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        path.chmod(0o777)
        self._messages = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def messages(self):
        """(pid, text) of each until now."""
        return list(self._messages)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()

    def _read(self):
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(12))
            if not data:
                return
            pid = next(struct.unpack("iII", value)[0] for level, kind, value in ancillary
                       if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS))
            self._messages.append((pid, data.decode()))


def start_time(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def descendants(pid):
    """Of `pid`, itself included: pid → start time."""
    found = {}
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            found[one] = start_time(one)
            waiting += map(int, pathlib.Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            found.pop(one, None)
    return found


def running_below(pid):
    """The descendants of `pid` that still execute something: pid → program."""
    found = {}
    for one in descendants(pid):
        try:
            found[one] = os.readlink(f"/proc/{one}/exe")
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
