# SPDX-License-Identifier: Apache-2.0
"""What a running process is and may, as the kernel says in /proc/PID/status."""

import ctypes
import grp
import pwd
from dataclasses import dataclass
from pathlib import Path

#: permitted, effective, inheritable, bounding and ambient set
SETS = ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")
SECCOMP_MODES = {"0": "off", "1": "strict", "2": "filter"}
CAPABILITIES = 64


def capability_names(mask):
    libcap = ctypes.CDLL("libcap.so.2")
    libcap.cap_to_name.restype = ctypes.c_void_p
    names = []
    for number in range(CAPABILITIES):
        if mask & (1 << number):
            text = libcap.cap_to_name(number)
            names.append(ctypes.string_at(text).decode().upper())
            libcap.cap_free(ctypes.c_void_p(text))
    return names


def name_of(look_up, number):
    try:
        return look_up(number)[0]
    except KeyError:
        return str(number)


@dataclass
class Privileges:
    pid: int
    user: str
    groups: list
    sets: dict  # name as in /proc → capability names
    no_new_privs: bool
    seccomp: str

    @property
    def capabilities(self):
        return self.sets["CapEff"]

    @property
    def exact(self):
        """Whether the five sets are equal: no more can be had than what is effective already."""
        return all(names == self.capabilities for names in self.sets.values())


def read_privileges(pid):
    status = {}
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        status[key] = value.strip()
    users = sorted({int(number) for number in status["Uid"].split()})
    groups = {int(number) for number in status["Gid"].split() + status["Groups"].split()}
    return Privileges(
        pid=pid,
        user="/".join(name_of(pwd.getpwuid, number) for number in users),
        groups=[name_of(grp.getgrgid, number) for number in sorted(groups)],
        sets={name: capability_names(int(status[name], 16)) for name in SETS},
        no_new_privs=status["NoNewPrivs"] == "1",
        seccomp=SECCOMP_MODES[status["Seccomp"]])
