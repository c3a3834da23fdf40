# SPDX-License-Identifier: Apache-2.0
"""Whole chargers of modules of each release since 2024.11, played by a program that is as strict as the release was."""

import json
import os
import re
import signal
import unittest

import harness
from harness import SHARED, START, STOP, Prefix, wait_until
from mqtt import Broker

VETERAN = os.environ["BELAY_VETERAN"]
CHARGER = "config-sil-two-evse"
# everest-framework → what version_information.txt says, and the dialect
RELEASES = {"0.19": ("2024.11.0", "2024.11"), "0.20": ("2025.3.0", "2025.1"), "0.21": ("2025.5.0", "2025.1"),
            "0.22": ("2025.6.0", "2025.6"), "0.25": ("2025.12.1", "2025.12"), "2026": ("2026.10.0", "2026.10")}
OLD_TOPICS = {f"everest/{name}" for name in ("manifests", "module_provides", "error_types_map", "module_config_cache",
                                             "schemas")}


class Dialects(harness.Case):
    @classmethod
    def setUpClass(cls):
        if not (SHARED / "everest").is_dir():
            raise unittest.SkipTest(f"EVerest's data is not in {SHARED}")
        golden = json.loads((SHARED / f"everest-docs/golden/config/{CHARGER}.json").read_text())
        cls.expected = {module: {f"{implementation}.{parameter['name']}": parameter["value"]
                                 for implementation, parameters in entry["configuration_parameters"].items()
                                 for parameter in parameters} for module, entry in golden.items()}

    def setUp(self):
        super().setUp()
        self.prefix = Prefix.everest(self.scratch / "prefix")
        self.prefix.install(VETERAN, "libexec/everest/standin")
        for manifest in self.prefix.modules.glob("*/manifest.yaml"):
            program = manifest.parent / manifest.parent.name
            program.unlink()
            os.link(self.prefix.path / "libexec/everest/standin", program)

    def prepare(self, tcp=False, version=None, dialect=None, **frameworks):
        """A charger of EVerest's, whose slac needs a capability; `frameworks`: module id → version, `all` for the rest."""
        self.broker = Broker(self, f"broker-{tcp}-{len(os.listdir(self.scratch))}", tcp=tcp)
        text = (self.prefix.configs / f"{CHARGER}.yaml").read_text()
        settings = {"run_as_user": "everest", **self.broker.settings}
        lines = "".join(f"  {key}: {value}\n" for key, value in settings.items())
        text = re.sub(r"^settings:\n", "", text, flags=re.MULTILINE)
        text, count = re.subn(r"^    module: (SlacSimulator|EvseSlac)$", r"    module: \1\n    capabilities: [CAP_NET_RAW]",
                              text, count=1, flags=re.MULTILINE)
        self.assertEqual(count, 1)
        self.config = self.prefix.write("etc/everest/derived.yaml", f"settings:\n{lines}{text}")
        frameworks["*"] = frameworks.pop("all", "2026")
        self.prefix.write("share/everest/frameworks.json", json.dumps(frameworks))
        information = self.prefix.path / "share/everest/version_information.txt"
        information.unlink(missing_ok=True)
        if version:
            self.prefix.write("share/everest/version_information.txt", f"everest-core {version} main@{version}\n")
        belay = "modules: {'*': {restart: {policy: never}}}\n"
        self.prefix.write("etc/everest/belay.yaml", belay + (f"broker: {{dialect: '{dialect}'}}\n" if dialect else ""))

    def run_charger(self, framework, *options):
        """It becomes ready, each module has its parameters, and it stops."""
        observer = self.broker.observe()
        manager = self.start(self.prefix, self.config, *options).wait_for("ALL_MODULES_STARTED")
        self.assertEqual(manager.status(), START, manager)
        for module, parameters in self.expected.items():
            report = observer.report(module)
            self.assertEqual((report["framework"], report["parameters"]), (framework, parameters), module)
        observer.close()
        return manager

    def check(self, framework, *options, graceful=None):
        manager = self.run_charger(framework, *options)
        self.assertEqual(manager.log.count("the modules are spoken to as by EVerest"), 1, manager.log)
        self.assertIn(f"spoken to as by EVerest {RELEASES[framework][1]}", manager.log)
        self.assertEqual(manager.stop(), 0, manager)
        self.assertEqual(manager.status(), START + (graceful or STOP))
        self.assert_nothing_left(manager, self.broker)
        return manager

    def test_learned(self):
        """Whatever the installation says of its release: only releases that ask alike need to be told apart by it."""
        for framework, (version, _) in RELEASES.items():
            for tcp in (False, True):
                with self.subTest(framework=framework, tcp=tcp):
                    installed = version if framework in ("0.20", "0.21") or tcp else None
                    self.prepare(tcp, version=installed, all=framework)
                    manager = self.check(framework)
                    doubtful = framework == "0.19" and not installed
                    self.assertEqual("set `broker: {dialect: \"2025.1\"}` in belay.yaml" in manager.log, doubtful)

    def test_learned_against_the_installed_release(self):
        self.prepare(version="2025.3.0", all="0.25")
        self.check("0.25")
        self.prepare(version="2026.02.0", all="2026")
        self.check("2026")

    def test_set(self):
        for framework in ("0.20", "0.22", "2026"):
            with self.subTest(framework=framework):
                self.prepare(dialect=RELEASES[framework][1], all=framework)
                self.assertIn("belay.yaml says so", self.check(framework).log)

    def test_types_and_schemas(self):
        """With schema validation more is published, and read."""
        for framework in ("0.19", "0.21", "0.25"):
            with self.subTest(framework=framework):
                self.prepare(dialect=RELEASES[framework][1], all=framework)
                text = self.config.read_text().replace("settings:\n", "settings:\n  validate_schema: true\n", 1)
                self.prefix.write("etc/everest/derived.yaml", text)
                self.check(framework)

    def test_graceful(self):
        """Who cannot be asked gets SIGTERM at once."""
        clean = ["SIGINT_RECEIVED", "MANAGER_SHUTDOWN_REQUESTED", "MANAGER_SHUTDOWN_FINALIZING",
                 "ALL_MODULES_STOPPED_CLEAN", "MANAGER_EXITING"]
        for framework in ("0.25", "2026"):
            with self.subTest(framework=framework):
                self.prepare(all=framework)
                self.check(framework, "--graceful-shutdown", graceful=clean if framework == "2026" else STOP)

    def test_retained(self):
        """What is retained is said in one dialect only, and nothing of an earlier one is left."""
        for framework, (_, dialect) in RELEASES.items():
            with self.subTest(framework=framework):
                self.prepare(dialect="auto" if framework != "0.20" else dialect, all=framework)
                observer = self.broker.observe()
                for topic in OLD_TOPICS | {"everest/manifests/Gone", "everest/2/manifests", "everest2/schemas"}:
                    observer.publish(topic, "{}", retain=True)
                observer.fence()
                manager = self.run_charger(framework, "--retain-topics")
                retained = {topic: json.loads(payload) for topic, payload in self.broker.retained().items()}
                self.assertEqual((retained.pop("everest/2/manifests"), retained.pop("everest2/schemas")), ({}, {}))
                self.assertNotIn("everest/manifests/Gone", retained)
                self.assertEqual(OLD_TOPICS & set(retained), OLD_TOPICS if framework < "0.22" else set())
                kind = {"0.25": "GetConfigResponse", "2026": "ConfigurationResponse"}.get(framework)
                for topic, message in retained.items():
                    self.assertEqual(message.get("msg_type") if isinstance(message, dict) else None, kind, topic)
                self.assertEqual(manager.stop(), 0, manager)

    def test_restart(self):
        """A successor reads again what its predecessor read, in the same words."""
        for framework in ("0.20", "0.22"):
            with self.subTest(framework=framework):
                self.prepare(version=RELEASES[framework][0], all=framework)
                self.prefix.write("etc/everest/belay.yaml",
                                  "modules: {'*': {restart: {policy: on-failure, delay: 0.01}}}\n")
                observer = self.broker.observe()
                manager = self.start(self.prefix, self.config).wait_for("ALL_MODULES_STARTED")
                module, pid = next(iter(manager.module_pids().items()))
                observer.report(module)
                os.kill(pid, signal.SIGKILL)
                observer.wait(f"standin/{module}/report", 2)
                self.assertNotEqual(manager.module_pids()[module], pid)
                self.assertEqual(manager.stop(), 0, manager)
                self.assert_nothing_left(manager, self.broker)

    def test_mixed(self):
        """Who speaks differently from the rest is named once, gets no answer, and ends with an error of its own."""
        modules = sorted(self.expected)[:3]
        for rest, odd in (("2026", ("0.25", "0.22", "0.19")), ("0.20", ("2026", "0.25", "0.22"))):
            with self.subTest(rest=rest):
                frameworks = dict(zip(modules, odd))
                self.prepare(dialect=RELEASES[rest][1], all=rest, **frameworks)
                observer = self.broker.observe()
                manager = self.start(self.prefix, self.config)
                self.assertEqual(manager.wait(), 1, manager)
                named = sorted(line for line in manager.log.splitlines() if "gets no answer" in line)
                self.assertEqual(len(named), len(odd), manager.log)
                for line, (module, framework) in zip(named, frameworks.items()):
                    self.assertTrue(line.startswith(f"error: {module}: asks for its configuration in the words of EVerest "
                                                    f"{RELEASES[framework][1]}, but"), line)
                    self.assertIn(f"EVerest {RELEASES[rest][1]} (belay.yaml)", line)
                    self.assertIn("`broker: {dialect: ...}`", line)
                    for ending in ("response", "config"):
                        self.assertEqual(observer.messages(f"everest/modules/{module}/{ending}"), [])
                self.assertIn("Timeout while waiting for result of get_config", manager.log)
                self.assertRegex(manager.log, r"\(pid \d+\): ended unexpectedly: exit code 1")
                self.assert_nothing_left(manager, self.broker)

    def test_mixed_and_learned(self):
        """The first one decides; the log says which that was."""
        self.prepare(all="2026")
        odd = sorted(self.expected)[0]
        self.prefix.write("share/everest/frameworks.json", json.dumps({"*": "2026", odd: "0.25"}))
        manager = self.start(self.prefix, self.config)
        self.assertEqual(manager.wait(), 1, manager)
        first = re.search(r"spoken to as by EVerest (\S+): `(\w+)` asked first", manager.log)
        self.assertTrue(first, manager.log)
        self.assertEqual(first[1], "2025.12" if first[2] == odd else "2026.10")
        named = re.findall(r"^error: (\w+): asks for its configuration", manager.log, re.MULTILINE)
        self.assertEqual(sorted(named), sorted(set(self.expected) - {odd}) if first[2] == odd else [odd])
        self.assert_nothing_left(manager, self.broker)

    def test_nobody_else_decides(self):
        """A request that is not from a module of the charger says nothing about its dialect."""
        self.prepare(all="2026")
        observer = self.broker.observe()
        manager = self.start(self.prefix, self.config, "--standalone", *self.expected)
        manager.wait_for("MANAGER_STARTING_MODULES")
        observer.publish("everest/config/request", json.dumps({"type": "Get", "origin": "nobody", "request": {}}))
        observer.publish("everest/modules/nobody/get_config", '{"type":"full"}')
        manager.wait_for_log("of no module that is configured")
        self.assertNotIn("spoken to", manager.log)
        module = sorted(self.expected)[0]
        observer.publish(f"everest/modules/{module}/get_config", '{"type":"full"}')
        answer = json.loads(observer.wait(f"everest/modules/{module}/config")["payload"])
        self.assertEqual(answer["module_config"]["module_id"], module)
        self.assertIn(f"`{module}` asked first", manager.log)
        self.assertEqual(manager.stop(), 0, manager)
        wait_until(lambda: self.broker.retained() == {}, "the end of what was retained")


if __name__ == "__main__":
    harness.main()
