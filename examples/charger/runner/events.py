# SPDX-License-Identifier: Apache-2.0
"""What the program waits for, in one place: what processes write, that they end, and that it shall stop."""

import os
import selectors
import signal

CHUNK = 65536


class Events:
    """SIGINT, SIGTERM and SIGHUP set `stop_requested`; nothing is interrupted, and everything is left in order."""

    def __init__(self):
        self.stop_requested = False
        self._selector = selectors.DefaultSelector()
        wake_up, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.add(wake_up, lambda: os.read(wake_up, CHUNK))
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._request_stop)

    def _request_stop(self, _number, _frame):
        self.stop_requested = True

    def add(self, file, action):
        """Calls `action` whenever `file` can be read, from within wait()."""
        self._selector.register(file, selectors.EVENT_READ, action)

    def remove(self, file):
        self._selector.unregister(file)

    def wait(self, longest_s=None):
        for key, _ in self._selector.select(longest_s):
            if key.fd in self._selector.get_map():  # an action may have removed another
                key.data()


class Lines:
    """Calls `action` for each line that arrives at `file`, without its end; `ended` is set after the last."""

    def __init__(self, events, file, action):
        self.ended = False
        self._events, self._file, self._action = events, file, action
        self._rest = b""
        events.add(file, self._read)

    def _read(self):
        try:
            received = os.read(self._file, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the other side of the pseudo-terminal any more
            received = b""
        *lines, self._rest = (self._rest + received).split(b"\n")
        if not received:
            self.ended = True
            self._events.remove(self._file)
            lines = [self._rest] if self._rest else []
        for line in lines:
            self._action(line.decode(errors="replace"))
