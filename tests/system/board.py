# SPDX-License-Identifier: Apache-2.0
"""A board: the Debian of booted/root_file_system.py with its own systemd and Debian's kernel on an emulated machine, which
has a hardware watchdog. The package and the example charger are installed. What is written to its disk outlives a reset.

The disk is an image of the file system, made without mounting it; an initramfs loads the drivers, for there is no udev.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE / "booted"), str(HERE.parent / "integration")]

import charger  # noqa: E402
import machine  # noqa: E402
import root_file_system  # noqa: E402
from box import Box, CLEAN, PATIENCE, wait_until  # noqa: E402

MEMORY_MB = 768
DISK_MB = 1024
DRIVERS = ("virtio_pci", "virtio_blk", "virtio_console", "crc32c_generic", "ext4", "autofs4", "binfmt_misc", "watchdog", "i6300esb")
PORT = "/dev/vport0p1"
AGENT = "/usr/local/lib/agent.py"
AGENT_UNIT = f"""[Service]
ExecStart=/usr/bin/python3 {AGENT} {PORT}
Environment={' '.join(f'{name}={value}' for name, value in CLEAN.items())}

[Install]
WantedBy=multi-user.target
"""

INIT = """#!/bin/sh
mount -t devtmpfs dev /dev
for path in @DRIVERS@; do insmod $path; done
until [ -b /dev/vda ]; do sleep 0.1; done
mkdir /disk
mount -t ext4 /dev/vda /disk
mount --move /dev /disk/dev
exec switch_root /disk /sbin/init
"""

# $1: below what, $2: where all is made; what is in its `upper` comes on top. $3: the package, $4: a policy, $5: the size.
# There is no systemd that a package could speak to.
MAKE = """
mkdir "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
cp "$3" "$2/root/tmp/belay.deb"
chroot "$2/root" sh -euc '
    dpkg --force-confold --install /tmp/belay.deb
    cp -r /usr/share/belay/mosquitto.service.d /etc/systemd/system/
    systemctl enable agent.service
    systemd-machine-id-setup
'
umount "$2/root/proc"
echo "$4" >>"$2/root@POLICY@"
/usr/sbin/mke2fs -q -t ext4 -d "$2/root" "$2/disk" "$5M"
""".replace("@POLICY@", charger.POLICY)


def make_disk(directory, policy):
    """The path of the image; `policy`: what its belay.yaml has more than the package's."""
    upper = directory / "upper"
    charger.lay_out(upper)
    for name, text in ((AGENT, (HERE / "agent.py").read_text()), ("/etc/systemd/system/agent.service", AGENT_UNIT)):
        path = upper / name.lstrip("/")
        path.parent.mkdir(parents=True)
        path.write_text(text)
    package = charger.package()
    done = subprocess.run(["unshare", "--mount", "sh", "-euc", MAKE, "sh", root_file_system.provide_for(package), directory,
                           package, policy, str(DISK_MB)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, env=CLEAN, check=False)
    if done.returncode != 0:
        raise AssertionError(f"could not make the disk of the machine:\n{done.stdout}")
    return directory / "disk"


def make_initramfs(directory, kernel):
    image = machine.Image(directory / "initramfs")
    image.write("init", INIT.replace("@DRIVERS@", " ".join(image.kernel_modules(kernel, *DRIVERS))), 0o755)
    return image.pack()


class Board(Box):
    """It runs until `close`, and boots again whenever it is reset."""

    def __init__(self, policy):
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix="belay-board-", dir="/tmp"))
        self._directory.chmod(0o755)
        self._process = None
        self._number = 0
        self._received = b""
        self.boot = None
        try:
            self._start(policy)
        except BaseException:
            self.close()
            raise

    def _start(self, policy):
        kernel = machine.provide_kernel("amd64")
        disk, path = make_disk(self._directory, policy), self._directory / "port"
        command = machine.qemu(
            kernel, make_initramfs(self._directory, kernel), MEMORY_MB, "quiet systemd.show_status=no systemd.getty_auto=no",
            "-smp", "2", "-cpu", "qemu64,+rdrand", "-device", "i6300esb", "-action", "watchdog=reset",
            "-drive", f"file={disk},format=raw,if=virtio,cache=unsafe",
            "-chardev", f"socket,id=port,path={path},server=on,wait=off", "-device", "virtio-serial",
            "-device", "virtserialport,chardev=port")
        with self._console_file().open("wb") as console:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                                             start_new_session=True)
        wait_until(path.exists, self.console)
        self._port = socket.socket(socket.AF_UNIX)
        self._port.connect(str(path))
        self.wait_for_boot()

    def _console_file(self):
        return self._directory / "console"

    def console(self):
        return f"the machine's console:\n{machine.text_of(self._console_file().read_bytes())}"

    def close(self):
        if self._process:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._directory)

    def _receive(self, deadline):
        """What the agent says next."""
        while True:
            line, end, rest = self._received.partition(b"\n")
            if end:
                self._received = rest
                try:
                    return json.loads(line)
                except ValueError:
                    continue  # empty, or cut off by a reset
            self._port.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                more = self._port.recv(1 << 16)
            except TimeoutError:
                raise AssertionError(f"the machine did not answer in time; {self.console()}") from None
            if not more:
                raise AssertionError(f"the machine ended; {self.console()}")
            self._received += more

    def wait_for_boot(self):
        """Of the machine, for the first time or after a reset, with all units that it should have."""
        deadline = time.monotonic() + PATIENCE
        before = self.boot
        while self.boot == before:
            self.boot = self._receive(deadline)["boot"]
        wait_until(self.is_booted, self.console)

    def execute(self, command, timeout, text=""):
        self._number += 1
        request = {"boot": self.boot, "number": self._number, "command": command, "text": text, "timeout": timeout}
        self._port.settimeout(timeout)
        self._port.sendall(f"{json.dumps(request)}\n".encode())
        deadline = time.monotonic() + timeout + PATIENCE
        while True:
            answer = self._receive(deadline)
            if answer["boot"] != self.boot:
                self.boot = answer["boot"]
                raise AssertionError(f"the machine was reset during {' '.join(command)}; {self.console()}")
            if answer.get("number") == self._number:
                return subprocess.CompletedProcess(command, answer["code"], answer["stdout"], answer["stderr"])

    def read(self, name):
        return self.run("cat", name).stdout

    def write(self, name, text, mode=0o644):
        done = self.execute(["install", "-D", f"--mode={mode:o}", "/dev/stdin", name], PATIENCE, text)
        if done.returncode != 0:
            raise AssertionError(done.stderr)

    def remove(self, name):
        self.run("rm", "-f", name)


def available():
    return os.geteuid() == 0 and machine.available() and shutil.which("mmdebstrap") is not None
