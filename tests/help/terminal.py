# SPDX-License-Identifier: Apache-2.0
"""A shell that believes a person is typing."""

import os
import pty
import select
import signal
import time

PATIENCE = 20  # seconds


class Terminal:
    def __init__(self, command, environment):
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            os.execve(command[0], command, environment)
        self._text = ""

    def type(self, text):
        os.write(self._master, text.encode())

    def wait_for(self, text):
        """All that was shown until `text` was, and no more of it the next time."""
        deadline = time.monotonic() + PATIENCE
        while text not in self._text:
            ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"no {text!r} within {PATIENCE} s, but {self._text!r}")
            self._text += os.read(self._master, 65536).decode(errors="replace")
        shown, _, self._text = self._text.partition(text)
        return shown

    def close(self):
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._master)
