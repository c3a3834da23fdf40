# SPDX-License-Identifier: Apache-2.0
"""Another release of Debian, BELAY_SUITE, has all that the project takes: there it is built by its compiler, tested and
packed, by the commands of the README. Package and example charger are left for tests on a booted system of that release."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(SOURCE / "tests/system/booted"))

import build_root  # noqa: E402
import root_file_system  # noqa: E402

BUILD = os.environ["BELAY_DEBIAN_BUILD_DIR"]
# What depends on compiler, libraries and systemd, and on nothing else of the machine.
TESTS = "^(unit|cli|help|systemd|integration|example)"
# Of system.package: all but the second build.
PACKAGE_TESTS = ("no_path_of_this_machine_is_inside", "lintian_finds_nothing", "whose_files_are_whose",
                 "conffiles_are_what_is_in_etc", "the_fields_say_what_it_needs")


class Debian(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        names = subprocess.run([SOURCE / "scripts/install-dependencies", "--system", "--list"], check=True,
                               capture_output=True, text=True).stdout.split()
        shutil.rmtree(BUILD, ignore_errors=True)  # by age, ninja would not know that it is another compiler
        cls.root = build_root.BuildRoot(root_file_system.provide(names), BUILD, f"ccache-{root_file_system.SUITE}")

    def test_it_builds_and_its_tests_pass(self):
        output = self.root.run(f"tests/run --system --preset release -R '{TESTS}'", minutes=50)
        self.assertNotIn("Installing:", output)
        self.assertIn("100% tests passed", output)
        skipped = set(re.findall(r"Test +#\d+: (\S+) \.*\*\*\*Skipped", output))
        self.assertLessEqual(skipped, {"cli.golden", "integration.recording"}, "these take EVerest's own files")

    def test_the_package(self):
        tests = " ".join(f"Package.test_{name}" for name in PACKAGE_TESTS)
        self.root.run(f"python3 -B tests/system/package/test_package.py -v {tests}", minutes=50)
        self.root.run("cmake --install build/release --component charger --prefix build/charger", minutes=5)


if __name__ == "__main__":
    if not root_file_system.available():
        print("skipped: needs root, mmdebstrap and systemd-nspawn")
        sys.exit(77)
    unittest.main(failfast=True)
