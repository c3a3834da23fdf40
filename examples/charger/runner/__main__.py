# SPDX-License-Identifier: Apache-2.0
"""Builds the example charger, runs it, shows what its processes are, and follows what they say.

Arguments: the source directory, the seconds to run (inf: until told to stop), and a build directory or nothing. Without
root, all processes are whoever starts this."""

import json
import os
import pwd
import sys
import time
from pathlib import Path

from build import build, lay_out, private_directory, run_quietly
from events import Events
from privileges import read_privileges
from processes import Broker, Manager, describe
from progress import Interrupted, Screen, StageFailed
from table import Row, format_table, legend, legend_without_root

ROOT = os.geteuid() == 0
USER = "everest" if ROOT else pwd.getpwuid(os.geteuid()).pw_name


def module_names(events, prefix, directory):
    """{id: name}, as the manager understands the configuration."""
    dump = directory / "dump"
    code, log = run_quietly(events, [str(prefix / "bin/manager"), "--prefix", str(prefix), "--config",
                                     str(prefix / "etc/everest/config.yaml"), "--check", "--dump", str(dump)], "/")
    if code != 0:
        raise StageFailed("checking the configuration", "it is invalid, as shown above",
                          "Mend examples/charger/config.yaml where the lines point to.", log)
    return {key: module["module_name"] for key, module in json.loads((dump / "config.json").read_text()).items()}


def look(manager, names):
    """The rows of the table: the two that start the modules, and the modules."""
    arguments = Path(f"/proc/{manager.pid}/cmdline").read_bytes().split(b"\0")
    manager_pid = int(arguments[arguments.index(b"--manager-pid") + 1])
    rows = [Row("launcher", "-", read_privileges(manager.pid)), Row("manager", "-", read_privileges(manager_pid))]
    forked, ready = manager.events_of("forked"), manager.events_of("ready")
    for module, event in sorted(forked.items()):
        rows.append(Row(module, names[module], read_privileges(event["pid"]), ready[module]["t_ms"] - event["t_ms"]))
    return rows


def judge(rows):
    """Everything but the launcher must be what the example promises."""
    for row in rows[1:]:
        privileges = row.privileges
        expected = privileges.exact if ROOT else not privileges.capabilities
        if not expected or privileges.user != USER or not privileges.no_new_privs:
            raise StageFailed("checking the processes", f"{row.id} is not what it should be: {privileges}",
                              "This is a defect of Belay: please report it.")


def show(screen, manager, rows):
    all_ready = manager.events_of("all_ready")[None]
    screen.print(f"{len(rows) - 2} modules, all ready {all_ready['t_ms']:.0f} ms after the manager began.")
    screen.print()
    for line in format_table(rows, screen.paint):
        screen.print(line)
    judge(rows)
    screen.print()
    for line in legend(rows[0].privileges) if ROOT else legend_without_root():
        screen.print(line)
    screen.print()


def follow(events, screen, manager, deadline):
    while not events.stop_requested and not screen.reader_gone and time.monotonic() < deadline:
        if manager.exit_code() is not None:
            raise StageFailed("the charger", f"bin/manager ended by itself, {describe(manager.exit_code())}",
                              "Its last lines above say why.")
        events.wait(min(deadline - time.monotonic(), 0.5))


def run(events, screen, build_directory, seconds):
    """The pids of all that ran, and how the manager ended."""
    with private_directory() as directory:
        socket_path = directory / "broker/mqtt.sock"
        prefix = lay_out(events, screen, build_directory, directory, socket_path, rootless=not ROOT)
        names = module_names(events, prefix, directory)
        screen.progress("Starting", "the broker")
        with Broker(events, directory, socket_path, USER if ROOT else None) as broker, \
                Manager(events, screen, prefix, directory, len(names)) as manager:
            manager.wait_until_ready()
            deadline = time.monotonic() + seconds
            rows = look(manager, names)
            show(screen, manager, rows)
            screen.print("Ctrl-C stops the charger." if seconds == float("inf") else
                         f"The charger stops after {seconds:g} s, or with Ctrl-C.")
            screen.print()
            manager.show_output()
            follow(events, screen, manager, deadline)
            screen.clear()
        return [broker.pid] + [row.privileges.pid for row in rows], manager.stopped_with


def check_stopped(screen, pids, manager_code):
    left = [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    if left or manager_code != 0:
        raise StageFailed("stopping the charger", f"the manager ended {describe(manager_code)}; still there: "
                          f"{', '.join(map(str, left)) or 'nothing'}", "This is a defect of Belay: please report it.")
    screen.print()
    screen.print(f"Stopped in order: {len(pids)} processes ended, nothing is left behind.")


def main(source, seconds, build_directory):
    screen, events = Screen(), Events()
    try:
        directory = Path(build_directory) if build_directory else build(events, screen, Path(source))
        check_stopped(screen, *run(events, screen, directory, float(seconds)))
    except StageFailed as failed:
        screen.failure(failed)
        return 1
    except Interrupted:
        screen.print("Stopped before the charger ran; nothing is left behind.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
