# SPDX-License-Identifier: Apache-2.0
"""What systemd is told."""

import socket
import struct
import threading

from harness import PATIENCE, wait_until

FENCE = "FENCE="  # of our own: what came before it has been read


class Notifications:
    """systemd's end of sd_notify(3): everybody may write to it, and the kernel says who did."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(path))
        path.chmod(0o777)
        self._messages = []
        self._fences = self._seen = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def messages(self):
        """(pid, text) of each until now."""
        self._fences += 1
        self._send(f"{FENCE}{self._fences}")
        wait_until(lambda: self._seen >= self._fences, "what was sent")
        return list(self._messages)

    def wait(self, text, count=1, timeout=PATIENCE):
        """The `count`th message that begins so."""
        def found():
            fitting = [message for _, message in self.messages() if message.startswith(text)]
            return fitting[count - 1] if len(fitting) >= count else None
        return wait_until(found, lambda: f"{text!r}, {count} times: {self.messages()}", timeout)

    def close(self):
        self._send("")
        self._thread.join()
        self._socket.close()

    def _read(self):
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(4096, socket.CMSG_SPACE(12))
            if not data:
                return
            pid = next(struct.unpack("iII", value)[0] for level, kind, value in ancillary
                       if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS))
            text = data.decode()
            if text.startswith(FENCE):
                self._seen += 1
            else:
                self._messages.append((pid, text))

    def _send(self, text):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.sendto(text.encode(), str(self.path))
