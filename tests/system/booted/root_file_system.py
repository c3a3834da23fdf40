# SPDX-License-Identifier: Apache-2.0
"""A release of Debian, BELAY_SUITE, as a directory: made once by mmdebstrap, and kept for later runs in BELAY_CACHE
(/var/cache/belay), by the list of its packages. Whoever uses it puts an overlay above it, and leaves it as it is."""

import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

SUITE = os.environ.get("BELAY_SUITE", "bookworm")
# What a charger has beside its manager. Python is for modules of the example charger.
PACKAGES = ["dbus", "mosquitto", "procps", "python3", "python3-paho-mqtt", "systemd", "systemd-coredump", "systemd-sysv"]
CACHE = pathlib.Path(os.environ.get("BELAY_CACHE", "/var/cache/belay"))


def dependencies_of(package):
    """The names of what a .deb file depends on, the first of alternatives: there is no network to fetch them from later."""
    field = subprocess.run(["dpkg-deb", "--field", package, "Depends"], check=True, capture_output=True, text=True).stdout
    return re.findall(r"(?:^|,)\s*([a-z0-9][a-z0-9+.-]*)", field)


def _make(directory, packages, architectures):
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        root = pathlib.Path(scratch) / "root"
        done = subprocess.run(["mmdebstrap", "--variant=minbase", f"--architectures={architectures}",
                               f"--include={','.join(packages)}", SUITE, root],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"mmdebstrap failed; does this machine have a mirror of Debian?\n{done.stdout}")
        (root / "etc/hostname").write_text("charger\n")
        root.rename(directory)


def provide_for(package):
    """The directory, with all that the .deb file `package` needs."""
    return provide({*PACKAGES, *dependencies_of(package)})


def provide(packages, architectures=""):
    """The directory, with these packages; without `architectures`, of this machine's."""
    architectures = architectures or subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True,
                                                    text=True).stdout.strip()
    packages = sorted(packages)
    key = hashlib.sha256(f"{SUITE} {architectures} {packages}".encode()).hexdigest()[:16]
    CACHE.mkdir(mode=0o755, parents=True, exist_ok=True)
    directory = CACHE / f"{SUITE}-{key}"
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not directory.is_dir():
            _make(directory, packages, architectures)
    return directory


def available():
    return os.geteuid() == 0 and all(map(shutil.which, ("mmdebstrap", "systemd-nspawn", "nsenter")))
