# SPDX-License-Identifier: Apache-2.0
"""The broker and the manager: started, watched, and stopped in order when the `with` block ends."""

import ctypes
import json
import os
import pwd
import re
import signal
import subprocess
import termios
import time
import tty

from events import Lines
from progress import Interrupted, StageFailed

BROKER_DEADLINE_S = 10
START_DEADLINE_S = 60
STOP_DEADLINE_S = 20  # the manager itself takes at most 10 s
POLL_S = 0.02
SETTLE_S = 0.05  # the manager's last lines about the start
LAST_WORDS_S = 1
PR_SET_PDEATHSIG = 1
MANAGER_INFO = re.compile(r"(\033\[\d*m)*info\b")
MANAGER_DEBUG = re.compile(r"(\033\[\d*m)*debug\b")


def describe(exit_code):
    return f"killed by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"with exit code {exit_code}"


def die_with_parent():
    """Between fork and exec: should this program be killed, the process is told to end."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """A process in a session of its own, so that Ctrl-C reaches only us, and we can keep the order."""

    def __init__(self, events, command, **options):
        self._events = events
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True,
                                         preexec_fn=die_with_parent, **options)
        self.pid = self._process.pid

    def exit_code(self):
        """None while it runs."""
        return self._process.poll()

    def stop(self, number):
        """Asks it to end, waits, and kills it if that takes too long. The exit code."""
        if self.exit_code() is None:
            self._process.send_signal(number)
        deadline = time.monotonic() + STOP_DEADLINE_S
        while self.exit_code() is None:
            if time.monotonic() >= deadline:
                self._process.kill()
                return self._process.wait()
            self._events.wait(POLL_S)
        return self.exit_code()


class Broker(Process):
    """Mosquitto on a Unix socket that its own user and the modules' group can use, and nobody else. Mosquitto creates
    the socket as its own user; the group comes from the directory. Without a `user`, it is whoever starts it."""

    def __init__(self, events, directory, socket_path, user):
        socket_path.parent.mkdir()
        if user:
            os.chown(socket_path.parent, pwd.getpwnam("mosquitto").pw_uid, pwd.getpwnam(user).pw_gid)
        socket_path.parent.chmod(0o2750)
        identity = {"user": "mosquitto", "group": "mosquitto", "extra_groups": []} if user else {}
        config = directory / "mosquitto.conf"
        config.write_text(f"listener 0 {socket_path}\nallow_anonymous true\npersistence false\nlog_dest stderr\n")
        self._log = directory / "mosquitto.log"
        with open(self._log, "wb") as log:
            super().__init__(events, ["/usr/sbin/mosquitto", "-c", str(config)], stdout=log, stderr=log,
                             **identity)
        self._socket_path = socket_path

    def __enter__(self):
        deadline = time.monotonic() + BROKER_DEADLINE_S
        try:
            while not self._socket_path.is_socket():
                if self._events.stop_requested:
                    raise Interrupted
                if self.exit_code() is not None or time.monotonic() >= deadline:
                    raise StageFailed("starting Mosquitto", "it did not create its socket",
                                      "Its log is above.", self._log.read_text(errors="replace").splitlines())
                self._events.wait(POLL_S)
            self._socket_path.chmod(0o660)
        except BaseException:
            self.stop(signal.SIGTERM)
            raise
        return self

    def __exit__(self, *_exception):
        self.stop(signal.SIGTERM)


class Manager(Process):
    """bin/manager with the example's configuration. Its output comes through a pseudo-terminal, so that it puts the
    module's id in front of each line wherever our output goes."""

    def __init__(self, events, screen, prefix, directory, modules):
        self.stopped_with = None
        self._modules = modules  # how many
        self._screen = screen
        self._hidden = []  # what was printed before show_output()
        self._shown = False
        self._ready = False
        self._timeline = directory / "timeline"
        status_fifo = directory / "status"
        os.mkfifo(status_fifo, 0o600)
        self._status = os.open(status_fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        Lines(events, self._status, self._on_status)
        terminal, terminal_of_manager = os.openpty()
        tty.setraw(terminal_of_manager, termios.TCSANOW)
        self._output = Lines(events, terminal, self._on_line)
        environment = dict(os.environ, **({} if screen.color else {"NO_COLOR": "1"}))
        super().__init__(events, [str(prefix / "bin/manager"), "--prefix", str(prefix), "--config",
                                  str(prefix / "etc/everest/config.yaml"), "--graceful-shutdown", "--status-fifo",
                                  str(status_fifo), "--timeline", str(self._timeline)],
                         stdout=terminal_of_manager, stderr=terminal_of_manager, env=environment, cwd="/")
        os.close(terminal_of_manager)

    def _on_status(self, line):
        self._ready = self._ready or line == "ALL_MODULES_STARTED"

    def _on_line(self, line):
        if self._shown:
            self._show(line)
        else:
            self._hidden.append(line)

    def wait_until_ready(self):
        deadline = time.monotonic() + START_DEADLINE_S
        while not (self._ready and self.events_of("all_ready")):
            if self._events.stop_requested:
                raise Interrupted
            why = None
            if self.exit_code() is not None:
                why = f"bin/manager ended, {describe(self.exit_code())}"
            elif time.monotonic() >= deadline:
                why = f"not all modules were ready after {START_DEADLINE_S} s"
            if why:
                self._read_for(LAST_WORDS_S)
                raise StageFailed("starting the charger", why, "What it said is above.", self._hidden)
            ready = len(self.events_of("ready"))
            self._screen.progress("Starting", f"the charger: {ready} of {self._modules} modules are ready")
            self._events.wait(POLL_S)
        self._read_for(SETTLE_S)

    def show_output(self):
        """From now on, and what was printed already, but for the manager's own account of the start."""
        self._shown = True
        for line in self._hidden:
            if not MANAGER_INFO.match(line):
                self._show(line)

    def _show(self, line):
        if not MANAGER_DEBUG.match(line):
            self._screen.print(line)

    def events_of(self, kind):
        """The timeline: {module: event} of one kind."""
        found = {}
        if self._timeline.exists():
            for line in self._timeline.read_text().splitlines():
                event = json.loads(line)
                if event["event"] == kind:
                    found[event.get("module")] = event
        return found

    def _read_for(self, limit_s):
        """What the manager has printed, until it has closed its output, or so long."""
        deadline = time.monotonic() + limit_s
        while not self._output.ended and time.monotonic() < deadline:
            self._events.wait(POLL_S)

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.stopped_with = self.stop(signal.SIGINT)
        self._read_for(LAST_WORDS_S)
