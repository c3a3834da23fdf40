# SPDX-License-Identifier: Apache-2.0
"""An emulated machine: Debian's kernel, and an initramfs of what is installed here. It boots in a few seconds.

/init runs `script` with busybox and powers the machine off; whatever it prints is the result.
"""

import os
import pathlib
import re
import shutil
import subprocess

HERE = pathlib.Path(__file__).parent
QEMU = "qemu-system-x86_64"
MEMORY_MB = 512

INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
sh /script
poweroff -f
"""


def available():
    return os.uname().machine == "x86_64" and shutil.which(QEMU) is not None


class Image:
    """The files of the machine, below a directory that becomes its root. All belong to root. They are the same again
    after a reset: what is to last is on a disk."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        for name in ("bin", "dev", "etc", "home", "proc", "run", "sys", "tmp", "usr/bin"):
            (self.root / name).mkdir(parents=True)
        for name in ("lib", "lib64"):
            os.symlink(f"usr/{name}", self.root / name)
        (self.root / "tmp").chmod(0o1777)
        shutil.copy("/bin/busybox", self.root / "bin/busybox")
        for applet in subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split():
            if applet != "busybox":
                os.symlink("busybox", self.root / "bin" / applet)
        self.write("init", INIT, 0o755)

    def write(self, name, text, mode=0o644):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def program(self, source, name):
        """Without its debug information, with the libraries it needs."""
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["strip", "-o", target, source], check=True)
        target.chmod(0o755)
        self.libraries(source)

    def libraries(self, program):
        listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            # The same file by either name, as on the machine that it comes from.
            target = self.root / "usr" / library.removeprefix("/usr").lstrip("/")
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, target)

    def kernel_modules(self, kernel, *names):
        """Of the kernel's directory, in /lib/modules, with those that they need. Returns the paths in an order in which
        insmod takes them."""
        directory = pathlib.Path(kernel).parents[1] / "lib/modules"
        files = {path.stem.replace("-", "_"): path for path in directory.rglob("*.ko")}
        order = []

        def add(name):
            if name in order:
                return
            # As modinfo(8) reads it.
            depends = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes()).group(1).decode()
            for needed in filter(None, depends.split(",")):
                add(needed.replace("-", "_"))
            order.append(name)

        for name in names:
            add(name)
        target = self.root / "usr/lib/modules"
        target.mkdir(parents=True, exist_ok=True)
        for name in order:
            shutil.copy(files[name], target / f"{name}.ko")
        return [f"/lib/modules/{name}.ko" for name in order]

    def pack(self):
        """The initramfs."""
        initramfs = self.root.with_suffix(".cpio")
        names = subprocess.run(["find", ".", "-print0"], cwd=self.root, check=True, capture_output=True).stdout
        with open(initramfs, "wb") as file:
            subprocess.run(["cpio", "--null", "--create", "--format=newc", "--quiet", "--owner=0:0"], cwd=self.root,
                           check=True, input=names, stdout=file)
        return initramfs

    def boot(self, script, kernel, timeout, *devices, resets=False):
        """What the machine wrote to its serial console. `devices`: qemu's arguments for more hardware. With `resets`
        it boots again when it is reset; otherwise that is its end."""
        self.write("script", script)
        command = qemu(kernel, self.pack(), MEMORY_MB, "loglevel=0", *devices, *([] if resets else ["-no-reboot"]))
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=timeout, check=True)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"the machine did not end within {timeout} s:\n{text_of(late.stdout)}") from None
        return text_of(done.stdout)


def qemu(kernel, initramfs, memory_mb, parameters, *devices):
    """The command that is a machine; `parameters`: the kernel's, as in bootparam(7)."""
    # Not KVM: where a machine is itself virtual, it may be there and not work.
    return [QEMU, "-machine", "pc", "-accel", "tcg", "-m", str(memory_mb), "-nographic", "-nic", "none", *devices,
            "-kernel", kernel, "-initrd", initramfs, "-append", f"console=ttyS0 panic=-1 {parameters}"]


def provide_kernel(flavour=None):
    """The path of Debian's, in BELAY_KERNEL_CACHE; `flavour`: as `kernel` has it."""
    cache = os.environ["BELAY_KERNEL_CACHE"]
    arguments = [f"{cache}-{flavour}", flavour] if flavour else [cache]
    return subprocess.run([HERE / "kernel", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def text_of(console):
    return (console or b"").decode(errors="replace").replace("\r\n", "\n")
