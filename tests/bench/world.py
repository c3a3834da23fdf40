# SPDX-License-Identifier: Apache-2.0
"""What the bench measures in: a scratch prefix whose modules are all stand-ins, a Mosquitto of its own, and managers."""

import contextlib
import json
import os
import pathlib
import pwd
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from processes import children_of

TOPICS = "everest/"
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin") or "/usr/sbin/mosquitto"
PATIENCE = 60  # seconds; what takes this long has failed
CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED, clock_getcpuclockid(3): all threads, those that ended included

SCHEMAS = {name: {"type": "object"} for name in ("config", "manifest", "interface", "type", "error-declaration-list")}
METADATA = {"license": "https://opensource.org/licenses/Apache-2.0", "authors": ["Belay"]}
THING = {"description": "A thing", "vars": {"height": {"type": "number", "description": "now"}},
         "cmds": {"move": {"description": "go", "arguments": {"to": {"type": "number", "description": "where"}}}}}
MANIFEST = {"description": "A thing", "metadata": METADATA, "requires": {},
            "config": {"label": {"type": "string", "description": "what it says", "default": "none"}},
            "provides": {"main": {"interface": "bench_thing", "description": "it",
                                  "config": {"speed": {"type": "integer", "description": "how fast", "default": 3}}}}}
BELAY_YAML = {"modules": {"*": {"restart": {"policy": "on-failure", "scope": "module", "delay": 0.2, "burst": 1000}}}}


class Failed(Exception):
    """What was to be measured did not work; the text says why."""


def wait_until(condition, what, timeout=PATIENCE):
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"not within {timeout} s: {what}")
        time.sleep(0.001)
    return value


def cpu_ms(pid):
    """User and system time of a process until now."""
    return time.clock_gettime((~pid << 3) | CLOCK_OF_PROCESS) * 1000


def switches(pid):
    """How often its threads went to sleep, which is how often they were woken."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text()
        total += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return total


def pss_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise Failed(f"no Pss in /proc/{pid}/smaps_rollup")


class World:
    """Everything below one directory, which is removed in the end."""

    def __init__(self, programs, shared, user):
        self.programs, self.shared, self.user = programs, shared, user
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="belay-bench-"))
        self.path.chmod(0o755)
        self.prefix = self.path / "prefix"
        self.socket = self.path / "broker.sock"
        self.numbers = iter(range(10**9))
        self.started = set()
        if self.has_everest:
            shutil.copytree(shared / "everest", self.prefix, copy_function=shutil.copyfile)
        for directory in ("etc/everest", "libexec/everest/modules", "bin",
                          *(f"share/everest/{name}" for name in ("schemas", "interfaces", "types", "errors", "www"))):
            (self.prefix / directory).mkdir(parents=True, exist_ok=True)
        if not self.has_everest:
            for name, schema in SCHEMAS.items():
                self.write(f"share/everest/schemas/{name}.yaml", schema)
            (self.prefix / "etc/everest/default_logging.cfg").write_text("[Core]\n")
        self.write("share/everest/interfaces/bench_thing.yaml", THING)
        self.write("libexec/everest/modules/BenchThing/manifest.yaml", MANIFEST)
        shutil.copyfile(programs / "standin", self.prefix / "bin/standin")
        (self.prefix / "bin/standin").chmod(0o755)
        for manifest in (self.prefix / "libexec/everest/modules").glob("*/manifest.yaml"):
            os.link(self.prefix / "bin/standin", manifest.parent / manifest.parent.name)
        self._start_broker()

    @property
    def has_everest(self):
        return (self.shared / "everest").is_dir()

    def write(self, name, value):
        path = self.prefix / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
        return path

    def install(self, manager):
        """This build's manager and its launcher."""
        for source, place in ((manager, "bin/manager"),
                              (manager.parent.parent / "libexec/everest/launcher", "libexec/everest/launcher")):
            shutil.copyfile(source, self.prefix / place)
            (self.prefix / place).chmod(0o755)
        return self.prefix / "bin/manager"

    def add_data_of(self, other_prefix):
        """What another manager needs and EVerest's data files do not have: how it makes its database."""
        for directory in other_prefix.glob("share/everest/migrations"):
            shutil.copytree(directory, self.prefix / "share/everest/migrations", dirs_exist_ok=True)

    def configuration(self, name, modules):
        """A synthetic configuration, or one of EVerest's with this broker; and a belay.yaml that restarts modules."""
        path = self.path / name / "config.yaml"
        path.parent.mkdir(exist_ok=True)
        settings = {"mqtt_broker_socket_path": str(self.socket)}
        if self.user:
            settings["run_as_user"] = self.user
        if isinstance(modules, int):
            entries = {f"thing_{i}": {"module": "BenchThing"} for i in range(modules)}
            path.write_text(json.dumps({"settings": settings, "active_modules": entries}))
        else:
            text = (self.shared / "everest/etc/everest" / modules).read_text()
            begin = text.index("active_modules:")
            path.write_text(f"settings: {json.dumps(settings)}\n{text[begin:]}")
        (path.parent / "belay.yaml").write_text(json.dumps(BELAY_YAML))
        return path

    def _start_broker(self):
        configuration = self.path / "mosquitto.conf"
        configuration.write_text(f"user {pwd.getpwuid(os.geteuid()).pw_name}\nallow_anonymous true\npersistence false\n"
                                 f"log_type error\nlistener 0 {self.socket}\n")
        self.broker = subprocess.Popen([MOSQUITTO, "-c", configuration], stdin=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        wait_until(self._broker_answers, "the broker")
        self.socket.chmod(0o777)  # whoever the modules run as

    def _broker_answers(self):
        if self.broker.poll() is not None:
            raise Failed(f"the broker ended with {self.broker.returncode}")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
            one.connect(str(self.socket))
            return True
        return False

    def close(self):
        for one in list(self.started):
            one.kill()
        self.broker.kill()
        self.broker.wait()
        shutil.rmtree(self.path)


class Contestant:
    """A manager binary, and how it is started."""

    def __init__(self, label, binary, environment=None):
        self.label, self.binary = label, binary
        self.environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"} | (environment or {})
        self.is_ours = (binary.parent.parent / "libexec/everest/launcher").exists()

    def command(self, world, configuration):
        return [self.binary, "--prefix", world.prefix, "--config", configuration]


class Run:
    """One start of a contestant, or of the floor. `ready_ms`: from its exec until all modules were ready."""

    def __init__(self, world, command, environment, ready_line, fifo=False):
        number = next(world.numbers)
        self.world = world
        self.log = world.path / f"log-{number}"
        self.fifo = world.path / f"fifo-{number}"
        reader = writer = None
        if fifo:
            os.mkfifo(self.fifo)
            reader = os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK)  # so that it never ends
            command = [*command, "--status-fifo", self.fifo]
        else:
            reader, writer = os.pipe()
        with open(self.log, "wb") as log:
            self.began = time.monotonic()
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writer or log, stderr=log,
                                            env=environment, start_new_session=True)
        world.started.add(self)
        if writer is not None:
            os.close(writer)
        try:
            self._await(reader, ready_line)
        finally:
            os.close(reader) if not fifo else None
            self.reader = reader if fifo else None
        self.ready = time.monotonic()
        self.ready_ms = (self.ready - self.began) * 1000
        self.processes = self._processes()
        self.cpu_ms = sum(map(cpu_ms, self.processes))

    def _await(self, reader, line):
        seen = b""
        while line not in seen:
            readable, _, _ = select.select([reader], [], [], 0.2)
            part = os.read(reader, 65536) if readable else b""
            seen += part
            ended = not part and self.process.poll() is not None
            if ended or time.monotonic() > self.began + PATIENCE:
                log = self.log.read_text(errors="replace")[-2000:]
                self.kill()
                raise Failed(f"it did not come to {line.decode()}, only {seen.decode().split()}; its log:\n{log}")

    def _processes(self):
        """The process itself and what executes the same program: the manager, where it is a child."""
        own = os.readlink(f"/proc/{self.process.pid}/exe")
        found = [self.process.pid]
        for pid in children_of(self.process.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                exe = os.readlink(f"/proc/{pid}/exe")
                if exe == own or exe.endswith("/bin/manager"):
                    found.append(pid)
        return found

    def stop(self):
        """Milliseconds from SIGINT to its end."""
        before = time.monotonic()
        if self.fifo.exists():
            self.process.send_signal(signal.SIGINT)
        else:
            os.killpg(self.process.pid, signal.SIGTERM)  # the floor, and its modules
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.process.args[0]} did not end within {PATIENCE} s") from None
        took = (time.monotonic() - before) * 1000
        wait_until(self._group_is_gone, "the end of the floor's modules")
        self._close()
        return took

    def _group_is_gone(self):
        try:
            os.killpg(self.process.pid, 0)
            return False
        except ProcessLookupError:
            return True

    def kill(self):
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self):
        if getattr(self, "reader", None) is not None:
            os.close(self.reader)
            self.reader = None
        self.world.started.discard(self)
        self.log.unlink(missing_ok=True)
        self.fifo.unlink(missing_ok=True)


def start(world, contestant, configuration, *options):
    command = [*contestant.command(world, configuration), *options]
    return Run(world, command, contestant.environment, b"ALL_MODULES_STARTED", fifo=True)


class Recording:
    """What a start of a configuration says on MQTT, and a file of it for the floor."""

    def __init__(self, world, contestant, configuration):
        self.path = configuration.with_suffix(".recording")
        messages = self._listen(world, contestant, configuration)
        self.metadata = {topic: payload for topic, payload in messages
                         if payload and b'"msg_type":"ConfigurationResponse"' in payload
                         and not topic.startswith(f"{TOPICS}modules/")}
        self.answers = {topic.split("/")[2]: payload for topic, payload in messages
                        if topic.startswith(f"{TOPICS}modules/") and topic.endswith("/response")}
        names = json.loads(self.metadata[f"{TOPICS}module_names"])["data"]
        self._write(world, names)

    def _listen(self, world, contestant, configuration):
        """Until it has seen the last message of a start, the global ready."""
        with open(self.path, "wb") as file:
            client = subprocess.Popen([world.programs / "client", "record", world.socket, f"{TOPICS}#"], stdout=file,
                                      stderr=subprocess.PIPE)
        try:
            client.stderr.readline()
            run = start(world, contestant, configuration)
            wait_until(lambda: b"GlobalReady" in self.path.read_bytes(), "the recording of a start")
            run.stop()
        finally:
            client.kill()
            client.communicate()
        return self._parse(self.path.read_bytes())

    @staticmethod
    def _parse(data):
        texts = []
        at = 0
        while at + 4 <= len(data):
            size = struct.unpack_from("<I", data, at)[0]
            texts.append(data[at + 4:at + 4 + size])
            at += 4 + size
        return [(topic.decode(), payload) for topic, payload in zip(texts[::2], texts[1::2])]

    def _write(self, world, names):
        parts = [str(len(self.metadata))]
        for topic, payload in self.metadata.items():
            parts += [topic, payload]
        parts.append(str(len(names)))
        for module, name in names.items():
            arguments = [f"{module}:{name}", "--prefix", str(world.prefix), "--module", module, "--log_config",
                         str(world.prefix / "etc/everest/default_logging.cfg"), "--mqtt_everest_prefix", TOPICS,
                         "--mqtt_external_prefix", "", "--mqtt_broker_socket_path", str(world.socket)]
            program = str(world.prefix / "libexec/everest/modules" / name / name)
            parts += [module, self.answers[module], str(len(arguments)), program, *arguments]
        with open(self.path, "wb") as file:
            for part in parts:
                part = part.encode() if isinstance(part, str) else part
                file.write(struct.pack("<I", len(part)) + part)

    def run(self, world):
        """A start by the floor."""
        return Run(world, [world.programs / "floor", world.socket, TOPICS, self.path], {}, b"READY")
