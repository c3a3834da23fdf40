# SPDX-License-Identifier: Apache-2.0
"""The package and the example charger on a booted Debian."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import container
import root_file_system
from box import Service, wait_until

PACKAGE_DIRECTORY = pathlib.Path(os.environ["BELAY_PACKAGE_DIR"])
MODULES = {"auth", "car", "evse", "intruder", "meter", "pilot", "slac", "tokens"}
CONFIG = "/etc/everest/default.yaml"
POLICY = "/etc/everest/belay.yaml"
INSTALLED = os.environ.get("BELAY_CHARGER_DIR")  # the example charger, if it was installed by the build already
DROP_IN = "/etc/systemd/system/everest.service.d/test.conf"


def package():
    """The .deb file that system.package has built."""
    found = list(PACKAGE_DIRECTORY.glob("belay_*.deb"))
    if len(found) != 1:
        raise AssertionError(f"one package in {PACKAGE_DIRECTORY}, not {len(found)}: run ctest -R system.package")
    return found[0]


@contextlib.contextmanager
def installed_charger():
    """The directory that EVerest, as the example has it, is installed to."""
    if INSTALLED:
        yield pathlib.Path(INSTALLED)
        return
    with tempfile.TemporaryDirectory(prefix="belay-stage-") as directory:
        subprocess.run(["cmake", "--install", os.environ["BELAY_BUILD_DIR"], "--component", "charger", "--prefix", directory],
                       check=True, stdout=subprocess.DEVNULL)
        yield pathlib.Path(directory)


def lay_out(root):
    """EVerest, as the example has it, in usr of `root`, with its configuration in etc."""
    with installed_charger() as stage:
        for name in ("lib", "libexec", "share"):
            shutil.copytree(stage / name, root / "usr" / name, dirs_exist_ok=True)
        config = (stage / "etc/everest/config.yaml").read_text()
        etc = root / "etc/everest"
        etc.mkdir(parents=True, exist_ok=True)
        (root / CONFIG.lstrip("/")).write_text(
            re.sub(r"(mqtt_broker_socket_path:).*", r"\1 /run/mosquitto/mosquitto.sock", config))
        shutil.copy(stage / "etc/everest/default_logging.cfg", etc)


class Charger:
    """What is installed in a box, or will be."""

    def __init__(self, box):
        self.box = box
        self.everest = Service(box, "everest.service")
        self.broker = Service(box, "mosquitto.service")

    def set_up_broker(self):
        """As mosquitto.service.d/everest.conf of the package says."""
        self.box.run("cp", "-r", "/usr/share/belay/mosquitto.service.d", "/etc/systemd/system/")
        self.box.run("systemctl", "daemon-reload")
        self.broker.systemctl("restart")

    def install(self, file=None):
        """dpkg's output; without a file, of `package()`."""
        self.box.copy(file or package(), "/root/belay.deb")
        done = self.box.run("dpkg", "--force-confold", "--install", "/root/belay.deb")
        return done.stdout + done.stderr

    def modules(self):
        """Id → pid, of those that run in a control group of their own."""
        found = {}
        for pid, process in self.everest.processes().items():
            if match := re.fullmatch(r"(\w+)\.module/run", process.group):
                found[match[1]] = pid
        return found

    def launcher_and_manager(self):
        main = self.everest.main_pid()
        others = [pid for pid, process in self.everest.processes().items()
                  if process.group in ("supervisor", ".") and pid != main]
        if len(others) != 1:
            raise AssertionError(f"beside the launcher {main} there should be one process: {others}")
        return main, others[0]

    def is_running(self):
        return self.everest.get("ActiveState") == "active" and set(self.modules()) == MODULES

    def wait_until_running(self, *, not_as=None):
        """Active, with all modules; `not_as`: the launcher of before."""
        wait_until(lambda: self.is_running() and self.everest.main_pid() != not_as, self.everest.describe)

    def entries(self, *matches):
        """Of this boot's journal."""
        text = self.box.output("journalctl", "--boot", "--no-pager", "--output=json", "--all", *matches)
        return [json.loads(line) for line in text.splitlines()]

    def alive(self, pids):
        """Those of `pids` that are there, and no zombies."""
        script = 'for pid; do grep -qs "^State:.[^ZX]" "/proc/$pid/status" && echo "$pid"; done; :'
        return list(map(int, self.box.output("sh", "-c", script, "sh", *map(str, pids)).split()))


class Case(unittest.TestCase):
    """One boot for all tests of a class; each begins with a charger that runs as it was laid out."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.use(container.Container(root_file_system.provide_for(package())))

    @classmethod
    def use(cls, box):
        cls.addClassCleanup(box.close)
        cls.charger = Charger(box)
        cls.box, cls.everest, cls.broker = cls.charger.box, cls.charger.everest, cls.charger.broker

    def wait_for_entries(self, *matches):
        return wait_until(lambda: self.charger.entries(*matches), self.everest.describe)

    def rewrite(self, name, change):
        """Changes a file for the length of a test."""
        text = self.box.read(name)
        self.box.write(name, change(text))
        self.addCleanup(self.box.write, name, text)


class RunningCase(Case):
    """The charger runs, and is brought back before each test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        lay_out(cls.box.path("/"))
        cls.charger.install()
        cls.charger.set_up_broker()
        cls.everest.systemctl("restart")  # it may not have noticed yet that its broker was restarted
        cls.charger.wait_until_running()

    def setUp(self):
        if not self.charger.is_running():
            self.everest.systemctl("restart")
            self.charger.wait_until_running()

    def exhaust_memory_of_meter(self):
        """Which may have 64 MB, and be started again: the kernel kills it, and nobody else."""
        main, before = self.everest.main_pid(), self.charger.modules()
        script = f'echo 0 >"$1"; echo {64 << 20} >"$1"'
        self.box.run("sh", "-c", script, "sh", "/sys/fs/cgroup/system.slice/everest.service/meter.module/memory.max")
        [crash] = self.wait_for_entries("EVEREST_EVENT=module_crashed", f"EVEREST_PID={before['meter']}")
        self.assertIn(f"meter (pid {before['meter']}): ended: killed by the kernel: out of memory (memory.max 64M)",
                      crash["MESSAGE"])
        self.charger.wait_until_running()
        self.assertEqual({**self.charger.modules(), "meter": before["meter"]}, before)
        self.assertEqual(self.everest.main_pid(), main)

    def policy(self, text):
        """Adds to belay.yaml, for a test that starts the charger itself."""
        self.addCleanup(self.everest.systemctl, "restart")
        self.rewrite(POLICY, lambda before: f"{before}\n{text}\n")

    def drop_in(self, *lines):
        self.box.write(DROP_IN, "\n".join(["[Service]", *lines, ""]))
        self.addCleanup(self.box.run, "systemctl", "daemon-reload")
        self.addCleanup(self.box.remove, DROP_IN)
        self.box.run("systemctl", "daemon-reload")


def main():
    if not root_file_system.available():
        print("skipped: needs root, mmdebstrap and systemd-nspawn")
        sys.exit(77)
    unittest.main()
