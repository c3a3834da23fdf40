#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Inside of the emulated Debian (board.py): runs what it is told over the port that is named, as root, one command after
another. A line of JSON each way; the first one says which boot this is, and what was meant for another one is dropped."""

import json
import os
import pathlib
import subprocess
import sys


def run(command, text, timeout):
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace", timeout=timeout,
                              check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"code": 127, "stdout": "", "stderr": f"{error}\n"}
    return {"code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}


def main(path):
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    port = os.open(path, os.O_RDWR)  # once: nobody can open it a second time

    def say(**answer):
        # On a line of its own, also after one that a reset has cut off.
        rest = f"\n{json.dumps({'boot': boot, **answer})}\n".encode()
        while rest:
            rest = rest[os.write(port, rest):]

    say()
    for line in open(port, "rb"):
        request = json.loads(line)
        if request["boot"] == boot:
            say(number=request["number"], **run(request["command"], request["text"], request["timeout"]))


main(sys.argv[1])
