#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every command that the README shows in a block of `sh` does what the README says. `./tests/run` runs this test, and
so is itself under way; its other options are checked to be what its usage says."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
MINUTES = 60


def commands():
    text = (SOURCE / "README.md").read_text()
    return [line for block in re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S) for line in block.splitlines()]


def examples_of_belay_yaml():
    text = (SOURCE / "README.md").read_text()
    return re.findall(r"^```yaml\n((?:modules|broker|watchdog):\n.*?)^```$", text, re.M | re.S)


class Readme(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(scratch.cleanup)
        self.prefix = pathlib.Path(scratch.name) / "everest"

    def run_command(self, command):
        environment = dict(os.environ, PREFIX=str(self.prefix), CONFIG=str(self.prefix / "etc/everest/config.yaml"))
        done = subprocess.run(["bash", "-euc", command], cwd=SOURCE, env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=15 * MINUTES)
        self.assertEqual(0, done.returncode, f"{command}\n{done.stdout}")
        return done.stdout

    def run_until_interrupted(self, command):
        """As a person would: looks at the table, lets a vehicle charge, and presses Ctrl-C."""
        process = subprocess.Popen(["bash", "-euc", f"exec {command}"], cwd=SOURCE, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(process.stdout.close)
        shown = []
        for line in process.stdout:
            shown.append(line)
            if "kW" in line:
                process.send_signal(signal.SIGINT)
                break
        shown.extend(process.stdout)
        self.assertEqual(0, process.wait(timeout=MINUTES), "".join(shown))
        self.assertIn("nothing is left behind", shown[-1])
        self.assertTrue(any(re.match(r"slac +EvseSlac .* CAP_NET_RAW ", line) for line in shown), "".join(shown))

    def lay_out_an_installation(self):
        """Somebody's EVerest: the example's."""
        self.run_command("cmake --preset release && cmake --build --preset release --target example_charger")
        self.run_command('cmake --install build/release --component charger --prefix "$PREFIX"')

    def test_commands(self):
        found = commands()
        self.assertIn("./examples/charger/run", found)
        self.assertIn("./tests/run", found)
        self.lay_out_an_installation()
        for command in found:
            with self.subTest(command):
                if command == "./tests/run":
                    self.assertTrue(os.access(SOURCE / command, os.X_OK))
                elif command == "./examples/charger/run":
                    self.run_until_interrupted(command)
                else:
                    self.run_command(command)
        for example in examples_of_belay_yaml():
            with self.subTest(example):
                (self.prefix / "etc/everest/belay.yaml").write_text(example)
                self.run_command('cd "$PREFIX" && bin/manager --prefix . --config etc/everest/config.yaml --check')
        self.assertGreaterEqual(len(examples_of_belay_yaml()), 4)
        for program in ("bin/manager", "libexec/everest/launcher"):
            self.assertTrue(os.access(self.prefix / program, os.X_OK), program)


if __name__ == "__main__":
    if os.geteuid() != 0 or shutil.which("cmake") is None:
        print("skipped: needs root")
        sys.exit(77)
    unittest.main()
