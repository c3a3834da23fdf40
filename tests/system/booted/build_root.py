# SPDX-License-Identifier: Apache-2.0
"""The sources in another root file system: a command there finds them in /source, which it cannot change, with a build
directory and a ccache of its own. What else it writes goes when it ends."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import root_file_system

SOURCE = pathlib.Path(__file__).resolve().parents[3]
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
               "CCACHE_DIR": "/cache", "HOME": "/root", "USER": "root"}

# Mounts, processes and a session that end with it, and as on a machine of its own nothing above the root; $1 the root, $2 a
# directory for what is written, $3 the sources, $4 what is their build directory there, $5 the objects' cache, $6 the
# command.
INSIDE = """
mkdir -p "$2/upper" "$2/work" "$2/root" "$3/build" "$4" "$5"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mkdir -p "$2/root/source" "$2/root/cache"
mount --bind -o ro "$3" "$2/root/source"
mount --bind "$4" "$2/root/source/build"
mount --bind "$5" "$2/root/cache"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
mount --rbind /sys "$2/root/sys"
cd "$2/root"
pivot_root . .
umount --lazy .
setsid sh -euc "cd /source; $6"
exit # the shell stays until now: process 1 takes no signal by default, and waits for orphans
"""


class BuildRoot:
    def __init__(self, root, build, cache):
        """`build`: what is /source/build there; `cache`: the name of the ccache."""
        self._directories = root, pathlib.Path(build), root_file_system.CACHE / cache

    def run(self, command, *, minutes):
        """Its output."""
        root, build, cache = self._directories
        scratch = tempfile.mkdtemp(prefix="belay-root-", dir="/tmp")
        try:
            done = subprocess.run(["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", INSIDE, "sh", root,
                                   scratch, SOURCE, build, cache, command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False, env=ENVIRONMENT, timeout=60 * minutes)
        finally:
            shutil.rmtree(scratch)
        if done.returncode != 0:
            raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout[-20000:]}")
        return done.stdout
