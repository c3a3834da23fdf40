# SPDX-License-Identifier: Apache-2.0
"""Processes as proc(5) shows them."""

import collections
import ctypes
import os
import pathlib
import re


def everybody():
    """The pids of all processes, zombies included."""
    return map(int, filter(str.isdigit, os.listdir("/proc")))


def parents():
    """Of everybody: pid → its parent's. The kernel's own list of children leaves some out while others end."""
    found = {}
    for pid in everybody():
        try:
            found[pid] = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


def landlock_abi():
    """The kernel's; 0 or less: it has none."""
    return ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)


def children_of(pid):
    return [child for child, parent in parents().items() if parent == pid]


def descriptors(pid):
    """What a process has open, numbers left out, and how often."""
    kinds = collections.Counter()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            kinds[re.sub(r"\d+", "N", os.readlink(f"/proc/{pid}/fd/{name}"))] += 1
        except FileNotFoundError:
            continue  # it was closed meanwhile
    return kinds


def status_of(pid):
    """proc(5)'s status: name → value."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def argv_of(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]


def alive(pid):
    try:
        return status_of(pid)["State"][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_below(directory):
    """The pids of the processes that execute something below `directory`, or were told of it in their arguments."""
    needle = f"{directory}/"
    found = []
    for pid in everybody():
        try:
            if needle in os.readlink(f"/proc/{pid}/exe") or any(needle in text for text in argv_of(pid)):
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, is a kernel thread or a zombie, or has nothing to do with us
    return found
