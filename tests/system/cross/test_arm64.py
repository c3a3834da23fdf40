# SPDX-License-Identifier: Apache-2.0
"""The package for 64-bit ARM: cross-built with Debian's compiler in a root file system of its own, and its unit tests run
by qemu's user mode emulation. The objects are kept in ccache, beside the root file system."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(SOURCE / "tests/system/booted"))

import root_file_system  # noqa: E402

PACKAGES = ["catch2", "ccache", "cmake", "crossbuild-essential-arm64", "dpkg-dev", "libcli11-dev", "libexpected-dev",
            "libvalijson-dev", "ninja-build", "nlohmann-json3-dev", "pkg-config", "qemu-user-static",
            *(f"lib{name}-dev:arm64" for name in ("cap", "fmt", "mosquitto", "seccomp", "spdlog", "sqlite3", "systemd",
                                                  "yaml"))]
# The rest of the tests asks the kernel for what an emulation of a process does not have: seccomp, Landlock, namespaces.
UNIT_TESTS = ("test_config", "test_manager")
LEFT_OUT = "'~JavaScript modules*'"  # there is no node in that root file system

# Mounts that end with it; $1 the root, $2 the sources, $3 a directory for all that is written, $4 the objects' cache.
INSIDE = """
mkdir -p "$3/upper" "$3/work" "$3/root" "$4"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$3/upper,workdir=$3/work" "$3/root"
mkdir -p "$3/root/source" "$3/root/cache"
cp -r "$2/." "$3/root/source"
mount --bind "$4" "$3/root/cache"
mount -t proc proc "$3/root/proc"
mount --rbind /dev "$3/root/dev"
exec chroot "$3/root" sh -euc "cd /source; $5"
"""


class Arm64(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = root_file_system.provide(PACKAGES, "amd64,arm64")
        cls.scratch = pathlib.Path(tempfile.mkdtemp(prefix="belay-arm64-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.scratch)
        cls.sources = cls.scratch / "sources"
        shutil.copytree(SOURCE, cls.sources, ignore=shutil.ignore_patterns("build", ".git", ".cache", "__pycache__"))
        cls.output = cls.scratch / "overlay"
        cls.output.mkdir()
        cls.inside(f"cmake --preset arm64 -D BUILD_TESTING=ON && cmake --build --preset arm64 --target manager launcher "
                   f"help_files {' '.join(UNIT_TESTS)} && cpack --preset arm64")
        cls.built = cls.output / "upper/source/build/arm64"

    @classmethod
    def inside(cls, command, minutes=25):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "CCACHE_DIR": "/cache", "HOME": "/root"}
        done = subprocess.run(["unshare", "--mount", "sh", "-euc", INSIDE, "sh", cls.root, cls.sources, cls.output,
                               root_file_system.CACHE / "ccache-arm64", command], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment,
                              timeout=60 * minutes)
        if done.returncode != 0:
            raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout[-20000:]}")
        return done.stdout

    def test_the_programs_are_for_arm64(self):
        for name in ("bin/manager", "libexec/everest/launcher"):
            header = subprocess.run(["readelf", "--file-header", self.built / name], check=True, capture_output=True,
                                    text=True).stdout
            self.assertRegex(header, r"Machine: +AArch64")
            self.assertRegex(header, r"Type: +DYN")

    def test_the_package_is_for_arm64_and_complete(self):
        [package] = self.built.glob("*.deb")
        field = subprocess.run(["dpkg-deb", "--field", package, "Architecture", "Depends"], check=True, capture_output=True,
                               text=True).stdout
        self.assertIn("Architecture: arm64", field)
        self.assertRegex(field, r"libc6 \(>= ")
        listed = subprocess.run(["dpkg-deb", "--contents", package], check=True, capture_output=True, text=True).stdout
        for name in ("/usr/bin/manager", "/usr/libexec/everest/launcher", "/usr/share/man/man8/manager.8.gz",
                     "/usr/lib/systemd/system/everest.service"):
            self.assertRegex(listed, rf"(?m) \.{re.escape(name)}$")

    def test_the_unit_tests_pass_in_emulation(self):
        for name in UNIT_TESTS:
            with self.subTest(name):
                [program] = [path for path in self.built.rglob(name) if path.is_file()]
                inside = program.relative_to(self.output / "upper")
                output = self.inside(f"qemu-aarch64-static -L / /{inside} {LEFT_OUT}", minutes=5)
                self.assertRegex(output, r"All tests passed \(\d+ assertions in \d+ test cases?\)")


if __name__ == "__main__":
    if not (os.geteuid() == 0 and shutil.which("mmdebstrap")):
        print("skipped: needs root and mmdebstrap")
        sys.exit(77)
    unittest.main()
