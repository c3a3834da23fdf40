# SPDX-License-Identifier: Apache-2.0
"""Who sees and says everything on a broker."""

import json
import os
import subprocess
import threading
import time

from waiting import PATIENCE

OBSERVER = os.environ["BELAY_OBSERVER"]


def envelope(kind, data):
    return json.dumps({"msg_type": kind, "data": data})


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

    def count(self, topic=None):
        """Of the messages that the broker has had until now; without a fence, one may still be under way."""
        self.fence()
        return len(self.messages(topic))

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
        before = self.count(topic)
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
