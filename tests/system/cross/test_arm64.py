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

import build_root  # noqa: E402
import root_file_system  # noqa: E402

PACKAGES = ["catch2", "ccache", "cmake", "crossbuild-essential-arm64", "dpkg-dev", "libcli11-dev", "libexpected-dev",
            "libvalijson-dev", "ninja-build", "nlohmann-json3-dev", "pkg-config", "qemu-user-static",
            *(f"lib{name}-dev:arm64" for name in ("cap", "fmt", "mosquitto", "seccomp", "spdlog", "sqlite3", "systemd",
                                                  "yaml"))]
# The rest of the tests asks the kernel for what an emulation of a process does not have: seccomp, Landlock, namespaces.
UNIT_TESTS = ("test_config", "test_manager")
LEFT_OUT = "'~JavaScript modules*'"  # there is no node in that root file system


class Arm64(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.build = pathlib.Path(tempfile.mkdtemp(prefix="belay-arm64-", dir="/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.build)
        cls.root = build_root.BuildRoot(root_file_system.provide(PACKAGES, "amd64,arm64"), cls.build, "ccache-arm64")
        cls.root.run(f"cmake --preset arm64 -D BUILD_TESTING=ON && cmake --build --preset arm64 --target manager launcher "
                     f"help_files {' '.join(UNIT_TESTS)} && cpack --preset arm64", minutes=25)
        cls.built = cls.build / "arm64"

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
                inside = f"build/{program.relative_to(self.build)}"
                output = self.root.run(f"qemu-aarch64-static -L / {inside} {LEFT_OUT}", minutes=5)
                self.assertRegex(output, r"All tests passed \(\d+ assertions in \d+ test cases?\)")


if __name__ == "__main__":
    if not (os.geteuid() == 0 and shutil.which("mmdebstrap")):
        print("skipped: needs root and mmdebstrap")
        sys.exit(77)
    unittest.main()
