# SPDX-License-Identifier: Apache-2.0
"""The package and the example charger on a booted Debian."""

import contextlib
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

PACKAGE_DIRECTORY = pathlib.Path(os.environ["BELAY_PACKAGE_DIR"])
MODULES = {"auth", "car", "evse", "intruder", "meter", "pilot", "slac", "tokens"}
CONFIG = "/etc/everest/default.yaml"
POLICY = "/etc/everest/belay.yaml"
INSTALLED = os.environ.get("BELAY_CHARGER_DIR")  # the example charger, if it was installed by the build already
DROP_IN = "/etc/systemd/system/everest.service.d/test.conf"

wait_until = container.wait_until


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


class Charger:
    """systemd with the broker; nothing is installed yet."""

    def __init__(self):
        self.package = package()
        self.box = container.Container(root_file_system.provide_for(self.package))
        self.everest = container.Service(self.box, "everest.service")
        self.broker = container.Service(self.box, "mosquitto.service")

    def lay_out(self):
        """EVerest, as the example has it, in /usr, with its configuration in /etc."""
        with installed_charger() as stage:
            for name in ("lib", "libexec", "share"):
                self.box.copy(stage / name, f"/usr/{name}")
            etc = stage / "etc/everest"
            config = (etc / "config.yaml").read_text()
            self.box.write(CONFIG, re.sub(r"(mqtt_broker_socket_path:).*", r"\1 /run/mosquitto/mosquitto.sock", config))
            self.box.write("/etc/everest/default_logging.cfg", (etc / "default_logging.cfg").read_text())

    def set_up_broker(self):
        """As mosquitto.service.d/everest.conf of the package says."""
        self.box.run("cp", "-r", "/usr/share/belay/mosquitto.service.d", "/etc/systemd/system/")
        self.box.run("systemctl", "daemon-reload")
        self.broker.systemctl("restart")

    def install(self, file=None):
        """dpkg's output."""
        shutil.copy(file or self.package, self.box.path("/root/belay.deb"))
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

    def alive(self, pids):
        """Those of `pids` that are there, and no zombies."""
        script = 'for pid; do grep -qs "^State:.[^ZX]" "/proc/$pid/status" && echo "$pid"; done; :'
        return list(map(int, self.box.output("sh", "-c", script, "sh", *map(str, pids)).split()))


class Case(unittest.TestCase):
    """One boot for all tests of a class; each begins with a charger that runs as it was laid out."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.charger = Charger()
        cls.addClassCleanup(cls.charger.box.close)
        cls.box, cls.everest, cls.broker = cls.charger.box, cls.charger.everest, cls.charger.broker

    def rewrite(self, name, change):
        """Changes a file for the length of a test."""
        text = self.box.path(name).read_text()
        self.box.write(name, change(text))
        self.addCleanup(self.box.write, name, text)


class RunningCase(Case):
    """The charger runs, and is brought back before each test."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.charger.lay_out()
        cls.charger.install()
        cls.charger.set_up_broker()
        cls.everest.systemctl("restart")  # it may not have noticed yet that its broker was restarted
        cls.charger.wait_until_running()

    def setUp(self):
        if not self.charger.is_running():
            self.everest.systemctl("restart")
            self.charger.wait_until_running()

    def policy(self, text):
        """Adds to belay.yaml, for a test that starts the charger itself."""
        self.addCleanup(self.everest.systemctl, "restart")
        self.rewrite(POLICY, lambda before: f"{before}\n{text}\n")

    def drop_in(self, *lines):
        self.box.write(DROP_IN, "\n".join(["[Service]", *lines, ""]))
        self.addCleanup(self.box.run, "systemctl", "daemon-reload")
        self.addCleanup(self.box.path(DROP_IN).unlink, missing_ok=True)
        self.box.run("systemctl", "daemon-reload")


def main():
    if not root_file_system.available():
        print("skipped: needs root, mmdebstrap and systemd-nspawn")
        sys.exit(77)
    unittest.main()
