# SPDX-License-Identifier: Apache-2.0
"""user-config/charger.yaml belongs to `everest`: whoever owns a module owns it, and root reads it at the next start."""

import os
import socket

from attack_case import AttackCase
from harness import START
from table import Row, Table
from world import UID

PLAIN = "active_modules:\n  plain:\n"
MULTIPLYING = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9))
# What asks for more than values: the start is refused, and the key is named.
MORE = {
    "a new module": ("active_modules:\n  new: {module: Late}\n", "new"),
    "a module by ../": ("active_modules:\n  new: {module: ../../../../../home/everest}\n", "new"),
    "a module id with ../": ("active_modules:\n  ../new: {module: Late}\n", "../new"),
    "another program for a module": (PLAIN + "    module: Late\n", "module"),
    "another program by ../": (PLAIN + "    module: ../../../../../home/everest\n", "module"),
    "a capability": (PLAIN + "    capabilities: [CAP_SYS_ADMIN]\n", "capabilities"),
    "another user": ("settings: {run_as_user: root}\n", "settings"),
    "another directory of modules": ("settings: {modules_dir: /home/everest}\n", "settings"),
    "another broker": ("settings: {mqtt_broker_host: 192.0.2.1}\n", "settings"),
    "standalone": (PLAIN + "    standalone: true\n", "standalone"),
    "access to all configurations": (PLAIN + "    access: {config: {allow_global_read: true}}\n", "access"),
    "other connections": (PLAIN + "    connections: {}\n", "connections"),
    "no module": ("active_modules:\n  plain: null\n", "plain"),
    "no modules": ("active_modules: null\n", "active_modules"),
    "aliases that multiply": (MULTIPLYING, "a9"),
    "a policy of belay.yaml": ("modules: {plain: {capabilities: [CAP_SYS_ADMIN]}}\n", "modules"),
}


class Overlay(AttackCase):
    def setUp(self):
        super().setUp()
        self.table = Table("A hostile user-config overlay")
        self.path = self.prefix.configs / "user-config/charger.yaml"
        os.chown(self.path.parent, UID, UID)
        # The link of a hard link's source must be ours to count.
        self.charger.secret_file.write_text(f"{self.charger.secret}: [\n")

    def configure(self, **settings):
        return self.prefix.configure({"plain": "Plain"}, **settings, **self.broker.settings)

    def write(self, content):
        self.remove()
        self.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        os.chown(self.path, UID, UID)

    def remove(self):
        if self.path.is_dir() and not self.path.is_symlink():
            self.path.rmdir()
        else:
            self.path.unlink(missing_ok=True)

    def start_with(self, user="everest"):
        return self.start(self.prefix, self.configure(**({"run_as_user": user} if user else {})))

    def row(self, name, outcome, note, control):
        self.table.add(Row("overlay", name, outcome, note=note, control=control))

    def try_more(self, name, text, key, control):
        """Refused, by name, before anything was started."""
        self.write(text)
        manager = self.start_with()
        manager_ended = manager.wait()
        said = f"`{key}` is not allowed in an overlay" in manager.log and f"{self.path}:" in manager.log
        escaped = "MANAGER_STARTING_MODULES" in manager.status() or manager_ended == 0
        self.row(name, "escaped" if escaped else "refused" if said else "unjudged", manager.log[:200], control)

    def try_file(self, name, make, control):
        """The charger starts as if there were no overlay, in no more time, and says nothing of what it read."""
        self.remove()
        closing = make()
        manager = self.start_with()
        manager.wait_for("ALL_MODULES_STARTED", 10)
        calm = manager.status() == START and self.charger.secret not in manager.log
        warned = "the overlay is unusable" in manager.log
        calm = manager.stop() == 0 and calm
        if closing is not None:
            closing.close()
        self.row(name, "escaped" if not calm else "no effect" if warned else "unjudged", manager.log[-200:], control)

    def without_run_as_user(self, link):
        """There, an overlay may do what it may in EVerest, and may be a link: the control."""
        text = "active_modules:\n  new: {module: Late}\n"
        self.write(text)
        if link:
            elsewhere = self.prefix.write("share/everest/overlay.yaml", text, 0o600)
            self.remove()
            self.path.symlink_to(elsewhere)
        before = self.observer.count("standin/new/report")
        manager = self.start_with(user=None)
        manager.wait_for("ALL_MODULES_STARTED")
        self.observer.wait("standin/new/report", before + 1)
        self.assertEqual(manager.stop(), 0, manager)
        return "root"

    def socket_file(self):
        one = socket.socket(socket.AF_UNIX)
        one.bind(str(self.path))
        return one

    def sparse(self):
        self.write("")
        os.truncate(self.path, 1 << 40)

    def test_overlay(self):
        control = self.without_run_as_user(link=False)
        for name, (text, key) in MORE.items():
            self.try_more(name, text, key, control)
        secret = self.charger.secret_file
        files = {
            "a symlink to a file of root's": lambda: self.path.symlink_to(secret),
            "a hard link to a file of root's": lambda: os.link(secret, self.path),
            "a symlink to itself": lambda: self.path.symlink_to(self.path),
            "a symlink to /dev/zero": lambda: self.path.symlink_to("/dev/zero"),
            "a device": lambda: os.mknod(self.path, 0o20666, os.makedev(1, 5)),
            "a FIFO that nobody writes": lambda: os.mkfifo(self.path),
            "a socket": self.socket_file,
            "a directory": self.path.mkdir,
            "a file of a terabyte": self.sparse,
            "a hundred thousand brackets": lambda: self.write("[" * 100_000),
            "bytes that are no text": lambda: self.write(bytes(range(256)) * 16),
        }
        control = self.without_run_as_user(link=True)
        for name, make in files.items():
            self.try_file(name, make, control)
        self.remove()
        self.finish(self.table)
