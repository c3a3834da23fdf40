# SPDX-License-Identifier: Apache-2.0
"""From the sources to an EVerest prefix that root may trust."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from events import Lines
from progress import Interrupted, StageFailed

PRESET = "release"
TARGET = "example_charger"


def run_quietly(events, command, directory, on_line=lambda line: None):
    """The exit code of a command, and what it printed."""
    log = []

    def keep(line):
        log.append(line)
        on_line(line)

    with subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        output = Lines(events, process.stdout.fileno(), keep)
        while not output.ended:
            events.wait()
            if events.stop_requested:
                process.terminate()
        code = process.wait()
    if events.stop_requested:
        raise Interrupted
    return code, log


def remedy(log, otherwise):
    """What helps, if the log says what is the matter."""
    text = " ".join(" ".join(log).split())  # cmake breaks its lines anywhere
    if "No space left on device" in text:
        return "Free some space on that file system."
    if re.search(r"Read-only file system|failed to open for writing|Unable to \(re\)create", text):
        return "cmake must be able to write to the build directory: take a copy of the project that can be written."
    return otherwise


def build(events, screen, source):
    """The build directory; what is built there already is not built again."""
    directory = source / "build" / PRESET
    screen.progress("Building")
    if not (directory / "build.ninja").exists():
        code, log = run_quietly(events, ["cmake", "--preset", PRESET], source)
        if code != 0:
            raise StageFailed("configuring the build", f"cmake ended with exit code {code}, as shown above",
                              remedy(log, f"Remove {directory} if it comes from elsewhere, and try again."), log)

    def show(line):
        if step := re.match(r"\[\d+/\d+\]", line):
            screen.progress("Building", step[0])

    code, log = run_quietly(events, ["cmake", "--build", "--preset", PRESET, "--target", TARGET], source, show)
    if code != 0:
        raise StageFailed("building", f"cmake ended with exit code {code}, as shown above",
                          remedy(log, f"Mend what the compiler says; if it says nothing, remove {directory}."), log)
    return directory


@contextlib.contextmanager
def private_directory():
    """A directory that only root can write, and everybody can enter. In /tmp wherever TMPDIR points: the manager only
    starts programs that nobody else could have exchanged, and /tmp is sticky."""
    os.umask(0o022)
    directory = Path(tempfile.mkdtemp(prefix=f"belay-charger-{os.getpid()}-", dir="/tmp"))
    try:
        directory.chmod(0o755)
        yield directory
    finally:
        shutil.rmtree(directory)


def without_privileges(config):
    """What only root can do is left out."""
    return re.sub(r"(?m)^  run_as_user:.*\n|^    capabilities:\n(      - .*\n)+", "", config)


def lay_out(events, screen, build_directory, directory, socket_path, rootless):
    """Installs manager and charger to a prefix in `directory`, and tells the configuration where the broker is."""
    screen.progress("Laying out the prefix")
    prefix = directory / "everest"
    for component in ("belay", "charger"):
        code, log = run_quietly(events, ["cmake", "--install", str(build_directory), "--prefix", str(prefix),
                                         "--component", component], directory)
        if code != 0:
            raise StageFailed(f"installing from {build_directory}",
                              f"cmake ended with exit code {code}, as shown above",
                              remedy(log, f"If a file is missing, build the target {TARGET} there first."), log)
    config = prefix / "etc/everest/config.yaml"
    text, count = re.subn(r"(?m)^(  mqtt_broker_socket_path:).*$", rf"\1 {socket_path}", config.read_text())
    if count != 1:
        raise StageFailed("installing the configuration", f"{count} lines set mqtt_broker_socket_path, not one",
                          "Let examples/charger/config.yaml have one such line.")
    config.write_text(without_privileges(text) if rootless else text)
    return prefix
