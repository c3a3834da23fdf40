# SPDX-License-Identifier: Apache-2.0
"""Modules in each language, started as wire-protocol.md §2 says, over each transport, with and without a user of their
own. The scripts hand on to the C++ stand-in, which reports the environment that they got; the one with `.venv`
and the one in JavaScript stay, as its parent."""

import shutil
import signal
import subprocess
import unittest

import harness
from harness import START, STOP, Prefix
from mqtt import Broker

PYTHON = """import os, subprocess, sys
environment = os.environ
broker = (["--mqtt_broker_socket_path", environment["EV_MQTT_BROKER_SOCKET_PATH"]]
          if "EV_MQTT_BROKER_SOCKET_PATH" in environment else
          ["--mqtt_broker_host", environment["EV_MQTT_BROKER_HOST"],
           "--mqtt_broker_port", environment["EV_MQTT_BROKER_PORT"]])
os.environ["SEEN_ARGV"] = "\\n".join(sys.orig_argv)
os.environ["SEEN_PREFIX"] = sys.prefix
program = environment["EV_PREFIX"] + "/libexec/everest/standin"
arguments = [environment["EV_MODULE"] + ":Script", "--prefix", environment["EV_PREFIX"],
             "--module", environment["EV_MODULE"], "--log_config", environment["EV_LOG_CONF_FILE"],
             "--mqtt_everest_prefix", environment["EV_MQTT_EVEREST_PREFIX"],
             "--mqtt_external_prefix", environment["EV_MQTT_EXTERNAL_PREFIX"], *broker]
"""
HAND_ON = "os.execv(program, arguments)\n"
STAY = "sys.exit(subprocess.run(arguments, executable=program).returncode)\n"

JAVASCRIPT = """const environment = process.env;
const broker = environment.EV_MQTT_BROKER_SOCKET_PATH !== undefined
    ? ['--mqtt_broker_socket_path', environment.EV_MQTT_BROKER_SOCKET_PATH]
    : ['--mqtt_broker_host', environment.EV_MQTT_BROKER_HOST, '--mqtt_broker_port', environment.EV_MQTT_BROKER_PORT];
environment.SEEN_ARGV = [process.argv0, ...process.execArgv, ...process.argv.slice(1)].join('\\n');
const child = require('child_process').spawn(environment.EV_PREFIX + '/libexec/everest/standin', [
    '--prefix', environment.EV_PREFIX, '--module', environment.EV_MODULE, '--log_config', environment.EV_LOG_CONF_FILE,
    '--mqtt_everest_prefix', environment.EV_MQTT_EVEREST_PREFIX,
    '--mqtt_external_prefix', environment.EV_MQTT_EXTERNAL_PREFIX, ...broker],
    {argv0: environment.EV_MODULE + ':Script', stdio: 'inherit'});
child.on('exit', (code, signal) => process.exit(signal === null ? code : 1));
"""

MODULES = {"cpp": "Cpp", "rust": "Rust", "python": "Python", "venv": "Venv", "js": "JavaScript"}
SCRIPTS = ("python", "venv", "js")
CLEAN_STOP = ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_REQUESTED", "MANAGER_SHUTDOWN_FINALIZING", "ALL_MODULES_STOPPED_CLEAN",
              "MANAGER_EXITING"]
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CALLER_PATH = "/usr/bin:/bin"
NODE = shutil.which("node", path=SYSTEM_PATH)


@unittest.skipUnless(NODE, f"node is not in {SYSTEM_PATH}; apt-get install nodejs")
class Languages(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix", ["Cpp"])
        self.prefix.module("Rust", harness.STANDIN_LIKE_RUST)
        self.script = {"python": self.prefix.script("Python", "module.py", PYTHON + HAND_ON),
                       "venv": self.prefix.script("Venv", "module.py", PYTHON + STAY),
                       "js": self.prefix.script("JavaScript", "index.js", JAVASCRIPT)}
        self.venv = self.script["venv"].parent / ".venv"
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", self.venv], check=True)

    def check(self, tcp, privileged, *options, **settings):
        self.broker = Broker(self, f"broker-{self._managers}", tcp=tcp)
        observer = self.broker.observe()
        if privileged:
            settings["run_as_user"] = "everest"
        config = self.prefix.configure(MODULES, **settings, **self.broker.settings)
        # A stray EV_… of the manager's own must not redirect its modules.
        environment = {"PATH": CALLER_PATH, "PYTHONPATH": "/somewhere", "EV_PREFIX": "/", "EV_MQTT_BROKER_PORT": "1"}
        manager = self.start(self.prefix, config, *options, environment=environment)
        manager.wait_for("ALL_MODULES_STARTED")
        self.reports = {module: observer.report(module) for module in MODULES}
        owner = self.everest.pw_uid if privileged else 0
        for module, report in self.reports.items():
            self.assertEqual(report["status"]["Uid"].split(), [str(owner)] * 4, module)
        self.check_arguments(tcp)
        for module in SCRIPTS:
            self.check_script(module, tcp, privileged)
        self.check_interpreters(privileged)
        return manager

    def check_arguments(self, tcp):
        options = ["--prefix", str(self.prefix.path), "--module", None, "--log_config",
                   str(self.prefix.configs / "default_logging.cfg"), "--mqtt_everest_prefix", "everest/",
                   "--mqtt_external_prefix", "ex/ternal"]
        socket = ["--mqtt_broker_socket_path", str(self.broker.socket)]
        host = ["--mqtt_broker_host", "127.0.0.1", "--mqtt_broker_port", str(self.broker.port)]
        # Rust's parser demands a host and a port even with a socket, which then wins.
        of_rust = host if tcp else socket + ["--mqtt_broker_host", "localhost", "--mqtt_broker_port", "1883"]
        for module, name, broker in (("cpp", "Cpp", host if tcp else socket), ("rust", "Rust", of_rust)):
            expected = [f"{module}:{name}"] + [module if one is None else one for one in options] + broker
            self.assertEqual(self.reports[module]["argv"], expected)

    def check_script(self, module, tcp, privileged):
        environment = self.reports[module]["environment"]
        expected = {"EV_MODULE": module, "EV_PREFIX": str(self.prefix.path),
                    "EV_LOG_CONF_FILE": str(self.prefix.configs / "default_logging.cfg"),
                    "EV_MQTT_EVEREST_PREFIX": "everest/", "EV_MQTT_EXTERNAL_PREFIX": "ex/ternal"}
        if tcp:
            expected |= {"EV_MQTT_BROKER_HOST": "127.0.0.1", "EV_MQTT_BROKER_PORT": str(self.broker.port)}
        else:
            expected |= {"EV_MQTT_BROKER_SOCKET_PATH": str(self.broker.socket)}
        if self.validate:
            expected["EV_VALIDATE_SCHEMA"] = "1"
        self.assertEqual({name: value for name, value in environment.items() if name.startswith("EV_")}, expected)

    def check_interpreters(self, privileged):
        path = SYSTEM_PATH if privileged else CALLER_PATH
        library = str(self.prefix.path / "lib/everest/everestpy")
        inherited = "" if privileged else ":/somewhere"
        python, venv, js = (self.reports[module]["environment"] for module in SCRIPTS)
        self.assertEqual((python["PATH"], venv["PATH"], js["PATH"]), (path, f"{self.venv}/bin:{path}", path))
        self.assertEqual((python["PYTHONPATH"], venv["PYTHONPATH"]), (library + inherited,) * 2)
        self.assertEqual(js["NODE_PATH"], str(self.prefix.path / "lib/everest/node_modules"))
        self.assertEqual((venv["VIRTUAL_ENV"], venv["VIRTUAL_ENV_PROMPT"]), (str(self.venv), "venv"))
        self.assertNotIn("VIRTUAL_ENV", python)
        self.assertEqual(venv["SEEN_PREFIX"], str(self.venv))
        self.assertIn(python["SEEN_PREFIX"], ("/usr", "/usr/local"))
        self.assertEqual(python["SEEN_ARGV"].split("\n"), ["python3", str(self.script["python"])])
        self.assertEqual(venv["SEEN_ARGV"].split("\n"), [f"{self.venv}/bin/python3", str(self.script["venv"])])
        self.assertEqual(js["SEEN_ARGV"].split("\n"), ["node", "--unhandled-rejections=strict", str(self.script["js"])])

    def run_and_stop(self, tcp, privileged, validate=False):
        """Once by SIGTERM, once asked to; each module ends in time, and by itself if it is asked."""
        self.validate = validate
        for number, options in ((signal.SIGTERM, []), (signal.SIGINT, ["--graceful-shutdown"])):
            with self.subTest(options=options):
                manager = self.check(tcp, privileged, *options, mqtt_external_prefix="ex/ternal",
                                     validate_schema=validate)
                self.assertEqual(manager.stop(number), 0, manager)
                self.assertEqual(manager.status(), START + (CLEAN_STOP if options else STOP))
                self.assertNotIn("killing", manager.log)
                self.assertNotIn("ended while it was stopped", manager.log)
                self.assert_nothing_left(manager, self.broker)

    def test_socket_as_everest(self):
        self.run_and_stop(tcp=False, privileged=True)

    def test_socket_as_root(self):
        self.run_and_stop(tcp=False, privileged=False)

    def test_tcp_as_everest(self):
        self.run_and_stop(tcp=True, privileged=True)

    def test_tcp_as_root(self):
        self.run_and_stop(tcp=True, privileged=False)

    def test_schema_validation(self):
        self.prefix.write("share/everest/types/colour.yaml", "description: Colours\ntypes: {Red: {type: string}}\n")
        self.run_and_stop(tcp=False, privileged=True, validate=True)


class Selection(harness.Case):
    """Which program of a module's directory is taken: wire-protocol.md §2.1."""

    def test_native_wins(self):
        prefix = Prefix.small(self.scratch / "prefix")
        prefix.script("Thing", "index.js", "process.exit(3);\n")
        prefix.script("Thing", "module.py", "raise SystemExit(4)\n")
        broker = Broker(self)
        config = prefix.configure({"one": "Thing"}, run_as_user="everest", **broker.settings)
        manager = self.start(prefix, config).wait_for("ALL_MODULES_STARTED")
        self.assertEqual(manager.stop(), 0, manager)

    def test_none(self):
        prefix = Prefix.small(self.scratch / "prefix", ["Thing", "Empty"])
        program = prefix.modules / "Empty/Empty"
        program.unlink()
        config = prefix.configure({"one": "Thing", "empty": "Empty"}, run_as_user="everest")
        self.assert_refused(self.start(prefix, config), "module `empty` cannot be started: it has no executable",
                            program.parent, "index.js")

    def test_not_executable(self):
        prefix = Prefix.small(self.scratch / "prefix")
        program = prefix.modules / "Thing/Thing"
        program.chmod(0o644)
        config = prefix.configure({"one": "Thing"}, run_as_user="everest")
        self.assert_refused(self.start(prefix, config), f"`{program}` is not executable", "chmod +x")

    def test_native_script(self):
        """A native module may be a script: its interpreter is started with the module's arguments."""
        prefix = Prefix.small(self.scratch / "prefix", ["Shell"])
        prefix.script("Shell", "Shell", "#!/bin/sh -u\nexec \"$2/libexec/everest/standin\" \"$@\"\n")
        broker = Broker(self)
        observer = broker.observe()
        config = prefix.configure({"one": "Shell"}, run_as_user="everest", **broker.settings)
        manager = self.start(prefix, config).wait_for("ALL_MODULES_STARTED")
        self.assertEqual(observer.report("one")["argv"][1:3], ["--prefix", str(prefix.path)])
        self.assertEqual(manager.stop(), 0, manager)


if __name__ == "__main__":
    harness.main()
