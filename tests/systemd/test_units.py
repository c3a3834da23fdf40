# SPDX-License-Identifier: Apache-2.0
"""The units, users, directories and the broker's configuration, as they are installed."""

import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "integration"))

import harness  # noqa: E402

BUILD = os.environ["BELAY_BUILD_DIR"]
MOST_EXPOSED = 4.5
UNITS = ("everest.service", "everest@.service")

# In mounts of its own: /run is empty, and $2, if given, is /etc/passwd, with /etc/group beside it.
INSIDE = """
mount -t tmpfs -o mode=755 tmpfs /run
[ -z "$2" ] || { mount --bind "$2" /etc/passwd; mount --bind "${2%passwd}group" /etc/group; }
eval "$1"
"""

# Waits for the broker, then who is in the group connects, and who is not does not. The broker ends with this.
BROKER = """
install -d -o mosquitto -g mosquitto -m {mode} /run/mosquitto
(umask {umask}; exec setpriv --reuid={user} --regid={user} --init-groups mosquitto -c {configuration}) &
broker=$!
n=0
until [ -S /run/mosquitto/mosquitto.sock ]; do
    n=$((n + 1)); [ $n -lt 500 ] || exit 1; kill -0 $broker || exit 1; sleep 0.01
done
connect='import socket; socket.socket(socket.AF_UNIX).connect("/run/mosquitto/mosquitto.sock")'
for groups in mosquitto nogroup; do
    setpriv --reuid=nobody --regid=nogroup --groups=$groups /usr/bin/python3 -c "$connect" 2>/dev/null && echo "$groups" || :
done
stat -c "%U %G %a" /run/mosquitto /run/mosquitto/mosquitto.sock
ss --listening --processes --tcp --udp --no-header 2>/dev/null | grep "pid=$broker," || echo no network
kill $broker
wait $broker || :
"""


def settings_of(unit):
    """The last value of each key, without sections: none of them is in two."""
    parser = configparser.RawConfigParser(strict=False, comment_prefixes="#", delimiters="=")
    parser.optionxform = str
    parser.read(unit)
    return {key: value for section in parser.sections() for key, value in parser.items(section)}


class Units(harness.unittest.TestCase):
    def setUp(self):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="belay-units-"))
        self.scratch.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.scratch)

    def install(self, prefix="/usr"):
        """As a package: the root that the files are below."""
        root = self.scratch / "root"
        subprocess.run(["cmake", "--install", BUILD, "--component", "belay", "--prefix", prefix], check=True,
                       env={**os.environ, "DESTDIR": str(root) if prefix == "/usr" else ""}, stdout=subprocess.DEVNULL)
        return root

    def run_tool(self, *command, check=True):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                              env={**os.environ, "LANG": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""})
        if check:
            self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}")
        return done.stdout

    def inside(self, script, passwd=""):
        return self.run_tool("unshare", "--mount", "sh", "-euc", INSIDE, "sh", script, str(passwd))

    def make_users(self, root):
        self.run_tool("systemd-sysusers", f"--root={root}", f"{root}/usr/lib/sysusers.d/everest.conf")

    def test_systemd_finds_nothing_to_object_to(self):
        """With programs where the units say they are."""
        prefix = self.scratch / "prefix"
        self.install(prefix)
        units = [str(prefix / "lib/systemd/system" / unit) for unit in UNITS]
        self.assertEqual(self.run_tool("systemd-analyze", "verify", "--man=no", *units), "")

    def test_exposure(self):
        root = self.install()
        for unit in UNITS:
            text = self.run_tool("systemd-analyze", "security", "--offline=true", root / "usr/lib/systemd/system" / unit)
            level = float(re.search(r"Overall exposure level for .*: ([\d.]+) ", text)[1])
            self.assertLess(level, MOST_EXPOSED, text)

    def test_another_prefix_is_left_as_it_is(self):
        """No belay.yaml appears in somebody's EVerest, and the units name the programs there."""
        prefix = self.scratch / "prefix"
        self.install(prefix)
        self.assertFalse((prefix / "etc").exists())
        unit = (prefix / "lib/systemd/system/everest.service").read_text()
        self.assertIn(f"\nExecStart={prefix}/bin/manager --prefix {prefix} ", unit)
        self.assertNotRegex(unit, "@[A-Z_]+@")

    def test_users(self):
        root = self.install()
        self.make_users(root)
        users = [line.split(":") for line in (root / "etc/passwd").read_text().splitlines()]
        users = {user[0]: user for user in users}
        self.assertEqual(users["everest"],
                         ["everest", "x", "1500", "1500", "EVerest modules", "/home/everest", "/usr/sbin/nologin"])
        self.assertEqual(users["everest-manager"][5:], ["/var/lib/everest/manager", "/usr/sbin/nologin"])
        self.assertNotIn(users["everest-manager"][2], ("0", "1500"))
        groups = {group[0]: group for group in
                  (line.split(":") for line in (root / "etc/group").read_text().splitlines())}
        self.assertEqual((groups["everest"][2], groups["gpio"][2]), ("1500", "1501"))
        members = {name: group[3].split(",") for name, group in groups.items() if group[3]}
        both = ["everest", "everest-manager"]
        self.assertEqual(members, {"systemd-journal": ["everest"], "dialout": ["everest"], "tty": ["everest"],
                                   "gpio": ["everest"], "tss": ["everest"], "mosquitto": both})

    def test_directories(self):
        root = self.install()
        self.make_users(root)
        self.run_tool("systemd-tmpfiles", f"--root={root}", "--create", f"{root}/usr/lib/tmpfiles.d/everest.conf")
        manager = int(re.search(r"^everest-manager:x:(\d+):", (root / "etc/passwd").read_text(), re.M)[1])
        found = {}
        for name in ("run/everest", "var/lib/everest", "var/log/everest", "home/everest", "var/lib/everest/modules",
                     "var/log/everest/modules", "var/lib/everest/manager", "etc/everest", "etc/everest/user-config"):
            status = os.stat(root / name)
            self.assertEqual(status.st_uid, status.st_gid)
            found[name] = status.st_uid, status.st_mode & 0o7777
        self.assertEqual(found, {
            "run/everest": (0, 0o755), "var/lib/everest": (0, 0o755), "var/log/everest": (0, 0o755),
            "home/everest": (1500, 0o750), "var/lib/everest/modules": (1500, 0o750),
            "var/log/everest/modules": (1500, 0o750), "var/lib/everest/manager": (manager, 0o755),
            "etc/everest": (0, 0o755), "etc/everest/user-config": (manager, 0o755)})

    def test_belay_yaml(self):
        """With the users that the package creates."""
        root = self.install()
        self.make_users(root)
        prefix = harness.Prefix.small(self.scratch / "charger")
        config = prefix.configure({"one": "Thing"}, run_as_user="everest")
        shutil.copy(root / "etc/everest/belay.yaml", prefix.configs)
        text = self.inside(f"{prefix.path}/bin/manager --prefix {prefix.path} --config {config} --check", root / "etc/passwd")
        self.assertIn("valid: 1 module, 0 warnings", text)

    def broker(self, **changes):
        """Who reaches a broker as the drop-in has it started."""
        root = self.install()
        unit = settings_of(root / "usr/share/belay/mosquitto.service.d/everest.conf")
        started = re.fullmatch(r"/usr/sbin/mosquitto -c (\S+)", unit["ExecStart"])[1]
        self.assertEqual(unit["User"], unit["Group"])
        script = BROKER.format(**{"mode": unit["RuntimeDirectoryMode"], "umask": unit["UMask"], "user": unit["User"],
                                  "configuration": root / started.lstrip("/"), **changes})
        return self.inside(script).splitlines()

    def test_broker(self):
        lines = self.broker()
        self.assertEqual(lines[-4:], ["mosquitto", "mosquitto mosquitto 750", "mosquitto mosquitto 770", "no network"], lines)

    def test_the_directory_that_debian_makes(self):
        """What the drop-in is for: its unit has `mkdir -m 740`, and then nobody but the broker's own user can connect."""
        lines = self.broker(mode="0740")
        self.assertEqual(lines[-3:], ["mosquitto mosquitto 740", "mosquitto mosquitto 770", "no network"], lines)
        self.assertNotIn("mosquitto", lines)


if __name__ == "__main__":
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in ("systemd-analyze", "ss", "mosquitto", "cmake")):
        print("skipped: needs root, systemd, iproute2 and mosquitto")
        sys.exit(77)
    harness.unittest.main()
