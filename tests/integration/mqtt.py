# SPDX-License-Identifier: Apache-2.0
"""A real Mosquitto of our own, and an observer that sees and says everything on it."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time

from harness import PATIENCE, status_of, wait_until

OBSERVER = os.environ["BELAY_OBSERVER"]
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin") or "/usr/sbin/mosquitto"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def envelope(kind, data):
    return json.dumps({"msg_type": kind, "data": data})


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


class Observer:
    """Every message of the broker, in order, since it was made; `received` is when, by time.monotonic()."""

    def __init__(self, case, *arguments):
        self._case = case
        self._messages = []
        self._changed = threading.Condition()
        self._ended = False
        self._fences = 0
        self._files = 0
        self._process = subprocess.Popen([OBSERVER, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        case.addCleanup(self.close)
        if not self._process.stdout.readline():
            raise AssertionError("the observer did not come to observe")
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def close(self):
        if not self._process.stdin.closed:
            self._process.stdin.close()
            try:
                self._process.wait(PATIENCE)
            finally:
                self._process.kill()
                self._thread.join()
                self._process.stdout.close()

    def publish(self, topic, payload="", qos=2, retain=False):
        """`payload`: text, or bytes that need not be any."""
        command = {"topic": topic, "qos": qos, "retain": retain}
        if isinstance(payload, bytes):
            self._files += 1
            file = self._case.scratch / f"payload-{id(self)}-{self._files}"
            file.write_bytes(payload)
            command["file"] = str(file)
        else:
            command["payload"] = payload
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()

    def fence(self, timeout=PATIENCE):
        """Until the broker has seen all that was published, and this all that the broker had before."""
        self._fences += 1
        topic = f"fence/{id(self)}/{self._fences}"
        self.publish(topic)
        self.wait(topic, timeout=timeout)

    def messages(self, topic=None):
        with self._changed:
            return [one for one in self._messages if topic in (None, one["topic"])]

    def wait(self, topic, count=1, accept=lambda message: True, timeout=PATIENCE):
        """The `count`th message on `topic` that `accept` takes."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                found = [one for one in self._messages if one["topic"] == topic and accept(one)]
                if len(found) >= count:
                    return found[count - 1]
                if self._ended or not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(f"message {count} on {topic} did not come within {timeout} s")

    def report(self, module, phase="ready"):
        """What a stand-in said of itself."""
        topic = f"standin/{module}/report"
        return json.loads(self.wait(topic, accept=lambda one: json.loads(one["payload"])["phase"] == phase)["payload"])

    def ask(self, data, prefix="everest/", timeout=PATIENCE):
        """Sends a configuration request; the one answer to it."""
        topic = f"{prefix}modules/{data['origin']}/response"
        before = len(self.messages(topic))
        self.publish(f"{prefix}config/request", envelope("ConfigurationRequest", data))
        return json.loads(self.wait(topic, before + 1, timeout=timeout)["payload"])["data"]

    def _read(self):
        for line in self._process.stdout:
            message = json.loads(line)
            message["received"] = time.monotonic()
            with self._changed:
                self._messages.append(message)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
