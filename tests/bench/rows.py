# SPDX-License-Identifier: Apache-2.0
"""What is measured, part by part. A figure: {"name", "ours", and where it is comparable "other" and "floor"}."""

import collections
import json
import os
import pathlib
import pwd
import signal
import statistics
import subprocess
import sys
import time

from world import TOPICS, Failed, Recording, cpu_ms, pss_kb, start, switches, wait_until

SIMULATION = {17: "config-sil.yaml", 27: "config-sil-ocpp-multi.yaml"}
Part = collections.namedtuple("Part", "title measure")


class Bench:
    """The world, who is measured in it, and how often."""

    def __init__(self, world, ours, other, quick, rounds, counts):
        self.world, self.ours, self.other, self.quick = world, ours, other, quick
        self.contestants = [one for one in (ours, other) if one is not None]
        self.counts = [3] if quick else counts
        self.rounds = rounds or (2 if quick else 15)
        self.configurations = {}
        self.recordings = {}

    def configuration(self, modules):
        if modules not in self.configurations:
            name = SIMULATION.get(modules) if self.world.has_everest else None
            self.configurations[modules] = self.world.configuration(f"charger-{modules}", name or modules)
        return self.configurations[modules]

    def recording(self, modules):
        if modules not in self.recordings:
            self.recordings[modules] = Recording(self.world, self.ours, self.configuration(modules))
        return self.recordings[modules]

    @property
    def usual(self):
        return 3 if self.quick else 17

    @property
    def many(self):
        return 5 if self.quick else 27


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def done():
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def median(values):
    return statistics.median(values) if values else None


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Samples:
    """label → name → values."""

    def __init__(self):
        self.values = collections.defaultdict(lambda: collections.defaultdict(list))

    def add(self, label, name, value):
        self.values[label][name].append(value)

    def figure(self, name, *labels):
        result = {"name": name}
        for label in labels or self.values:
            if self.values[label][name]:
                result[label] = round(median(self.values[label][name]), 3)
        result.setdefault("ours", None)
        return result


# -- the start --

def phases_of(path, run):
    """Where the time went: from --timeline, whose zero is when the manager had read the configuration."""
    events = collections.defaultdict(dict)
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        events[entry["event"]].setdefault(entry.get("module", ""), entry["t_ms"])

    def between(first, second):
        return median([at - events[first][module] for module, at in events[second].items() if module in events[first]])
    forked = list(events["forked"].values())
    return {"configuration": run.ready_ms - events["all_ready"][""],
            "connect to the broker": events["connected"][""],
            "publish metadata": events["published"][""] - events["connected"][""],
            "from the order to the first fork": min(forked) - events["connected"][""],
            "first fork to last fork": max(forked) - min(forked),
            "fork to exec, each": between("forked", "executed"),
            "exec to first request, each": between("executed", "asked"),
            "request to answer, each": between("asked", "answered"),
            "answer to ready, each": between("answered", "ready"),
            "last answer to last ready": max(events["ready"].values()) - max(events["answered"].values())}


def one_start(bench, modules, samples, name, with_phases):
    timeline = bench.world.path / "timeline"
    for contestant in bench.contestants:
        options = ["--timeline", timeline] if with_phases and contestant.is_ours else []
        try:
            run = start(bench.world, contestant, bench.configuration(modules), *options)
        except Failed as failure:
            if contestant is bench.ours:
                raise
            progress(f"{contestant.label}: {modules} modules did not start: {str(failure)[-200:]}\n")
            continue
        samples.add(contestant.label, name, run.ready_ms)
        samples.add(contestant.label, f"{name}, CPU", run.cpu_ms)
        samples.add(contestant.label, f"{name}, stop", run.stop())
        if options and contestant is bench.ours:
            for phase, value in phases_of(timeline, run).items():
                samples.add("ours", phase, value)
    run = bench.recording(modules).run(bench.world)
    samples.add("floor", name, run.ready_ms)
    samples.add("floor", f"{name}, CPU", run.cpu_ms)
    run.stop()


def measure_start(bench):
    samples = Samples()
    figures = []
    for modules in bench.counts:
        name = f"{modules} modules"
        rounds = bench.rounds if modules <= 27 else max(2, bench.rounds // (3 if modules == 100 else 5))
        for number in range(rounds):
            progress(f"start of {modules} modules: round {number + 1} of {rounds}")
            one_start(bench, modules, samples, name, with_phases=modules == bench.usual)
        figures.append(samples.figure(name))
    done()
    figures += [{**samples.figure(f"{modules} modules, CPU"), "name": f"{modules} modules, CPU time"}
                for modules in bench.counts]
    phases = [name for name in samples.values["ours"] if "modules" not in name]
    figures += [{**samples.figure(name), "name": f"{name} ({bench.usual})"[:37]} for name in phases]
    figures += [{**samples.figure(f"{modules} modules, stop", "ours", "other"),
                 "name": f"{modules} modules, SIGINT to exit"} for modules in bench.counts]
    return figures


# -- what it takes while it runs --

def measure_memory(bench):
    samples = Samples()
    counts = [bench.usual] if bench.quick else [17, 27, 100]
    for number in range(1 if bench.quick else 3):
        for modules in counts:
            progress(f"memory with {modules} modules: round {number + 1}")
            for contestant in bench.contestants:
                run = start(bench.world, contestant, bench.configuration(modules))
                time.sleep(0.2)
                samples.add(contestant.label, f"{modules} modules", sum(map(pss_kb, run.processes)) / 1024)
                if contestant is bench.ours and len(run.processes) == 2:
                    samples.add("ours", f"{modules} modules, launcher", pss_kb(run.processes[0]) / 1024)
                run.stop()
    done()
    return [samples.figure(name) for name in sorted(samples.values["ours"], key=lambda name: int(name.split()[0]))]


def over_a_while(run, seconds):
    """Wake-ups and CPU time per minute."""
    before = sum(map(switches, run.processes)), sum(map(cpu_ms, run.processes))
    time.sleep(seconds)
    after = sum(map(switches, run.processes)), sum(map(cpu_ms, run.processes))
    return [(late - early) * 60 / seconds for early, late in zip(before, after)]


def ask_command(bench, modules, rounds, pause_ms):
    """To be had before a manager is started: whose ids they are, a recording of another one may have to tell."""
    ids = list(bench.recording(modules).answers)
    return [bench.world.programs / "client", "ask", bench.world.socket, TOPICS, str(rounds), str(pause_ms), *ids]


def measure_idle(bench):
    samples = Samples()
    seconds = 2 if bench.quick else 60
    seconds_of_load = min(seconds, 20)
    for contestant in bench.contestants:
        ask = ask_command(bench, bench.usual, seconds_of_load + 2, 1000)
        run = start(bench.world, contestant, bench.configuration(bench.usual))
        time.sleep(1)
        progress(f"{contestant.label}: idle, {seconds} s")
        wake_ups, cpu = over_a_while(run, seconds)
        samples.add(contestant.label, "idle: wake-ups", wake_ups)
        samples.add(contestant.label, "idle: CPU time, ms", cpu)
        progress(f"{contestant.label}: every module asks once a second, {seconds_of_load} s")
        with subprocess.Popen(ask, stdout=subprocess.DEVNULL) as asking:
            time.sleep(1)
            wake_ups, cpu = over_a_while(run, seconds_of_load)
            asking.terminate()
        samples.add(contestant.label, "asked by all each second: wake-ups", wake_ups)
        samples.add(contestant.label, "asked by all each second: CPU, ms", cpu)
        run.stop()
    done()
    return [samples.figure(name) for name in samples.values["ours"]]


def ask_at_once(bench, contestant, modules, rounds):
    """How long each answer took, in ms; nothing if not all were answered."""
    ask = ask_command(bench, modules, rounds, 10)
    run = start(bench.world, contestant, bench.configuration(modules))
    asking = subprocess.run(ask, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                            check=False)
    run.kill() if asking.returncode != 0 else run.stop()
    if asking.returncode != 0 and contestant is bench.ours:
        raise Failed(f"not all of {modules} modules were answered")
    return [int(line) / 1000 for line in asking.stdout.split()] if asking.returncode == 0 else []


def measure_answers(bench):
    samples = Samples()
    rounds = 20 if bench.quick else 200
    for modules in sorted({bench.usual, bench.many}):
        for contestant in bench.contestants:
            progress(f"{contestant.label}: {modules} modules ask at once, {rounds} times")
            took = ask_at_once(bench, contestant, modules, rounds)
            if took:
                samples.add(contestant.label, f"{modules} at once, p50", median(took))
                samples.add(contestant.label, f"{modules} at once, p99", percentile(took, 0.99))
    done()
    return [samples.figure(name) for name in samples.values["ours"]]


# -- single acts --

def read_marks(path):
    """[(id, pid, ms of the monotonic clock)], as the stand-ins wrote them."""
    return [(one, int(pid), int(at) / 1e6) for one, pid, at in map(str.split, path.read_text().splitlines())]


def crash(bench, marks, timeline, run, module):
    """One crash: ms from SIGKILL until the successor's main(), without the backoff."""
    seen = len(read_marks(marks))
    pid = next(pid for one, pid, _ in reversed(read_marks(marks)) if one == module)
    killed = time.monotonic() * 1000
    os.kill(pid, signal.SIGKILL)
    successor = wait_until(lambda: next((mark for mark in read_marks(marks)[seen:] if mark[0] == module), None),
                           f"the successor of {module}")
    events = wait_until(lambda: [json.loads(line) for line in timeline.read_text().splitlines()
                                 if f'"{module}"' in line] if timeline.exists() else [], "the timeline")
    at = {event["event"]: event["t_ms"] for event in events}
    wait_until(lambda: sum('"ready"' in line and f'"{module}"' in line
                           for line in timeline.read_text().splitlines()) > sum(
                               event["event"] == "ready" for event in events[:-1]) - 1, "the successor to be ready")
    return successor[2] - killed - (at["restarted"] - at["exited"])


def measure_crash(bench):
    samples = Samples()
    marks = bench.world.prefix / "bench-marks"
    marks.touch()
    marks.chmod(0o666)
    timeline = bench.world.path / "timeline-of-crashes"
    run = start(bench.world, bench.ours, bench.configuration(bench.usual), "--timeline", timeline)
    modules = sorted({one for one, _, _ in read_marks(marks)})
    rounds = 2 if bench.quick else 30
    for number in range(rounds):
        progress(f"crash {number + 1} of {rounds}")
        samples.add("ours", "kill to successor's main(), p50", crash(bench, marks, timeline, run,
                                                                     modules[number % len(modules)]))
    run.stop()
    marks.unlink()
    done()
    took = samples.values["ours"]["kill to successor's main(), p50"]
    return [samples.figure("kill to successor's main(), p50"),
            {"name": "the longest of them", "ours": round(max(took), 3)}]


def measure_check(bench):
    samples = Samples()
    counts = [bench.usual] if bench.quick else [17, 27, 300]
    rounds = 3 if bench.quick else 41
    for modules in counts:
        for number in range(rounds if modules < 300 else rounds // 4):
            progress(f"--check of {modules} modules: round {number + 1}")
            for contestant in bench.contestants:
                command = [*contestant.command(bench.world, bench.configuration(modules)), "--check"]
                before = time.monotonic()
                process = subprocess.Popen(command, env=contestant.environment, stdin=subprocess.DEVNULL,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                _, status, usage = os.wait4(process.pid, 0)
                took = (time.monotonic() - before) * 1000
                process.returncode = os.waitstatus_to_exitcode(status)
                if process.returncode != 0:
                    raise Failed(f"{contestant.label}: --check of {modules} modules failed")
                samples.add(contestant.label, f"{modules} modules", took)
                samples.add(contestant.label, f"{modules} modules, CPU time",
                            (usage.ru_utime + usage.ru_stime) * 1000)
    done()
    return [samples.figure(name) for name in samples.values["ours"]]


def measure_spawn(bench):
    user = pwd.getpwnam(bench.world.user) if bench.world.user else pwd.getpwuid(os.geteuid())
    count = 20 if bench.quick else 1000
    progress(f"{count} processes, started in four ways")
    output = subprocess.run([bench.world.programs / "spawn", bench.world.prefix / "bin/standin", str(user.pw_uid),
                             str(user.pw_gid), str(count)], stdout=subprocess.PIPE, text=True, check=False)
    if output.returncode != 0:
        raise Failed("spawn failed")
    done()
    us = {name: float(value) for name, value in map(str.split, output.stdout.splitlines())}
    return [{"name": "as the launcher does", "ours": us["launcher"]},
            {"name": "bare vfork and exec", "ours": us["launcher"], "floor": us["bare"]},
            {"name": "bare, with the same system calls", "ours": us["launcher"], "floor": us["copied"]},
            {"name": "the same, memory shared (vfork)", "ours": us["launcher"], "floor": us["shared"]}]


PARTS = {
    "start": Part("From exec until all modules are ready, ms", measure_start),
    "check": Part("--check, ms", measure_check),
    "memory": Part("Proportional set size, manager and launcher together, MB", measure_memory),
    "idle": Part("Per minute, manager and launcher together", measure_idle),
    "answers": Part("A module's configuration: from request to answer, ms", measure_answers),
    "crash": Part("A crashed module is started again, without its backoff, ms", measure_crash),
    "spawn": Part("A process, from before its fork until it executes, µs", measure_spawn),
}
