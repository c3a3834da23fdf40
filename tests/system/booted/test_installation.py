# SPDX-License-Identifier: Apache-2.0
"""The package's life on a booted Debian: installed, upgraded, removed, purged, and beside EVerest's own manager."""

import pathlib
import subprocess
import tempfile

import charger

EVERESTS = "#!/bin/sh\necho the manager of EVerest\n"
DATA = "/var/lib/everest/modules/transactions.db"
CHANGE = "\n# The administrator's.\n"
# dpkg's own, and what tells Debian's helper that nobody disabled the service.
BOOKKEEPING = ("/var/lib/dpkg/", "/var/lib/systemd/", "/var/log/", "/var/cache/", "/run/", "/proc/", "/sys/", "/dev/",
               "/tmp/", "/root/", "/etc/group", "/etc/gshadow", "/etc/passwd", "/etc/shadow", "/etc/subuid", "/etc/subgid",
               "/etc/.pwd.lock")


def with_version(package, version, directory):
    """The same package, as a later release of it."""
    tree, result = pathlib.Path(directory) / "tree", pathlib.Path(directory) / "belay.deb"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("".join(f"Version: {version}\n" if line.startswith("Version:") else f"{line}\n" for line in lines))
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, result], check=True, stdout=subprocess.DEVNULL)
    return result


class Installation(charger.Case):
    """One story: its steps are in order."""

    def files(self):
        found = self.box.output("find", "/", "-xdev", "-not", "-type", "d").splitlines()
        return {name for name in found if not name.startswith(BOOKKEEPING)}

    def packages_files_are_unchanged(self, but=()):
        """dpkg -V says nothing, but for files that the administrator changed."""
        lines = self.box.run("dpkg", "--verify", "belay", check=False).stdout.splitlines()
        self.assertEqual([line.split()[-1] for line in lines], list(but), lines)

    def test_from_the_first_installation_to_the_purge(self):
        before = self.files()
        for step in (self.install_without_a_configuration, self.run_a_charger, self.upgrade, self.keep_disabled,
                     self.remove, self.purge):
            with self.subTest(step.__name__):
                step()
        left = self.files() - before
        self.assertEqual({name for name in left if not name.startswith(("/usr/lib", "/usr/share/everest", "/home"))},
                         {charger.CONFIG, "/etc/everest/default_logging.cfg", DATA,
                          "/etc/systemd/system/mosquitto.service.d/everest.conf", "/var/lib/mosquitto/mosquitto.db"})

    def install_without_a_configuration(self):
        output = self.charger.install()
        self.assertIn("put a configuration into /etc/everest/default.yaml", output)
        self.assertEqual(self.everest.show("UnitFileState", "ActiveState"),
                         {"UnitFileState": "enabled", "ActiveState": "inactive"})
        self.packages_files_are_unchanged()
        self.assertIn("Defined-By: Belay", self.box.output("journalctl", "--dump-catalog"))
        self.assertEqual(self.box.output("systemctl", "--failed", "--no-legend"), "")

    def run_a_charger(self):
        charger.lay_out(self.box.path("/"))
        self.charger.set_up_broker()
        self.everest.systemctl("start")
        self.charger.wait_until_running()
        self.box.write(DATA, "what a module keeps")
        self.box.write("/var/lib/everest/last-reset", "what a start after a reset leaves")

    def upgrade(self):
        """Configuration and data stay, and the charger is restarted once."""
        self.rewrite(charger.POLICY, lambda text: text + CHANGE)
        before, starts = self.everest.main_pid(), self.everest.starts()
        with tempfile.TemporaryDirectory(prefix="belay-upgrade-") as directory:
            output = self.charger.install(with_version(charger.package(), "9.0-1", directory))
        self.assertIn("Unpacking belay (9.0-1) over", output)
        self.charger.wait_until_running(not_as=before)
        self.assertEqual(self.everest.starts(), starts + 1)
        self.assertTrue(self.box.path(charger.POLICY).read_text().endswith(CHANGE))
        self.packages_files_are_unchanged(but=[charger.POLICY])

    def keep_disabled(self):
        """What the administrator switched off, no upgrade switches on."""
        self.everest.systemctl("disable")
        self.everest.systemctl("stop")
        with tempfile.TemporaryDirectory(prefix="belay-upgrade-") as directory:
            self.charger.install(with_version(charger.package(), "9.0-2", directory))
        self.assertEqual(self.everest.show("UnitFileState", "ActiveState"),
                         {"UnitFileState": "disabled", "ActiveState": "inactive"})
        self.everest.systemctl("enable")
        self.everest.systemctl("start")
        self.charger.wait_until_running()

    def remove(self):
        processes = self.everest.processes()
        self.box.run("dpkg", "--remove", "belay")
        self.assertEqual(self.charger.alive(processes), [])
        self.assertEqual(self.everest.get("LoadState"), "not-found")
        self.assertNotIn("Defined-By: Belay", self.box.output("journalctl", "--dump-catalog"))
        for name in ("/usr/bin/manager", "/usr/libexec/everest/launcher", "/usr/share/belay", "/usr/share/doc/belay"):
            self.assertFalse(self.box.path(name).exists(), name)
        for name in (charger.POLICY, charger.CONFIG, DATA):
            self.assertTrue(self.box.path(name).exists(), name)

    def purge(self):
        self.box.run("dpkg", "--purge", "belay")
        self.assertFalse(self.box.path(charger.POLICY).exists())
        self.assertFalse(self.box.path("/var/log/everest").exists())
        self.assertEqual(self.box.output("sh", "-c", "ls /etc/systemd/system/*/everest*.service 2>/dev/null; :"), "")
        self.assertTrue(self.box.path(DATA).exists())
        self.assertEqual(self.box.output("dpkg-divert", "--list", "*manager*"), "")
        self.assertEqual(self.box.run("dpkg-query", "--status", "belay", check=False).returncode, 1)

    def test_the_manager_of_everest_steps_aside_and_comes_back(self):
        with tempfile.TemporaryDirectory(prefix="belay-everest-") as directory:
            tree = pathlib.Path(directory) / "everest"
            for name, text in (("DEBIAN/control", "Package: everest\nVersion: 1\nArchitecture: all\nMaintainer: EVerest\n"
                                                  "Description: EVerest\n"), ("usr/bin/manager", EVERESTS)):
                (tree / name).parent.mkdir(parents=True)
                (tree / name).write_text(text)
                (tree / name).chmod(0o755)
            package = f"{directory}/everest.deb"
            subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, package], check=True,
                           stdout=subprocess.DEVNULL)
            self.charger.install(package)
            self.charger.install()
            self.assertEqual(self.box.path("/usr/bin/manager.everest").read_text(), EVERESTS)
            self.assertIn("belay", self.box.output("/usr/bin/manager", "--version"))
            self.charger.install(package)  # an upgrade of EVerest
            self.assertIn("belay", self.box.output("/usr/bin/manager", "--version"))
        self.box.run("dpkg", "--purge", "belay")
        self.assertEqual(self.box.path("/usr/bin/manager").read_text(), EVERESTS)
        self.assertFalse(self.box.path("/usr/bin/manager.everest").exists())
        self.box.run("dpkg", "--purge", "everest")


if __name__ == "__main__":
    charger.main()
