# SPDX-License-Identifier: Apache-2.0
"""A real Mosquitto of our own."""

import os
import pwd
import shutil
import signal
import socket
import subprocess

from harness import status_of, wait_until
from observer import Observer

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin") or "/usr/sbin/mosquitto"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Broker:
    """Runs as the user `mosquitto`. By default as EVerest's security guide recommends: on a Unix socket in a directory
    of its own, for a group of which the modules' user is a member. Debian's makes the socket with mode 0770."""

    def __init__(self, case, name="broker", tcp=False, group=None, start=True, nodelay=True, log=()):
        self._case = case
        mosquitto = pwd.getpwnam("mosquitto")
        self.directory = case.scratch / name
        self.directory.mkdir()
        # The socket gets the group of a set-group-id directory.
        gid = case.everest.pw_gid if group is None else group
        os.chown(self.directory, mosquitto.pw_uid, gid)
        self.directory.chmod(0o2755)
        self.socket = self.directory / "mosquitto.sock"
        self.port = free_port() if tcp else None
        listener = (f"listener {self.port} 127.0.0.1\nset_tcp_nodelay {str(nodelay).lower()}" if tcp else
                    f"listener 0 {self.socket}")
        self._configuration = case.scratch / f"{name}.conf"
        self._configuration.write_text(
            "user mosquitto\nallow_anonymous true\npersistence false\nlog_type error\nlog_type warning\n"
            f"max_queued_messages 0\n{listener}\n")
        self.log = self.directory / "log"
        if log:  # of what: log_type of mosquitto.conf(5)
            with open(self._configuration, "a") as file:
                file.write(f"log_dest file {self.log}\n" + "".join(f"log_type {kind}\n" for kind in log))
        self.process = None
        if start:
            self.start()

    @property
    def settings(self):
        """For `settings:` of a configuration."""
        if self.port is None:
            return {"mqtt_broker_socket_path": str(self.socket)}
        return {"mqtt_broker_host": "127.0.0.1", "mqtt_broker_port": self.port}

    def start(self):
        self.process = subprocess.Popen([MOSQUITTO, "-c", self._configuration], stdin=subprocess.DEVNULL)
        self._case.addCleanup(self.kill)
        wait_until(self._answers, "the broker")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def suspend(self):
        """It keeps its connections and does nothing."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: status_of(self.process.pid)["State"].startswith("T"), "the broker to be stopped")

    def observe(self, *options):
        return Observer(self._case, *self._address(), *options)

    def retained(self):
        """What is retained now: topic → payload."""
        observer = self.observe()
        observer.fence()
        observer.close()
        return {message["topic"]: message["payload"] for message in observer.messages() if message["retain"]}

    def _address(self):
        return (str(self.socket), "0") if self.port is None else ("127.0.0.1", str(self.port))

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the broker ended with {self.process.returncode}")
        try:
            with socket.socket(socket.AF_UNIX if self.port is None else socket.AF_INET) as one:
                one.connect(str(self.socket) if self.port is None else ("127.0.0.1", self.port))
            return True
        except OSError:
            return False
