# SPDX-License-Identifier: Apache-2.0
"""Manual pages are what man and mandoc take for good; bash and zsh complete; the schema and the manager agree."""

import itertools
import json
import os
import pathlib
import re
import subprocess
import sys

import jsonschema
import yaml

import terminal

HERE = pathlib.Path(__file__).parent
SOURCE = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "integration"))

import harness  # noqa: E402

BUILD = pathlib.Path(os.environ["BELAY_BUILD_DIR"])
HELP = BUILD / "help"
PAGES = ("manager.8", "launcher.8", "belay.yaml.5")


def page(name):
    return HELP / name / name


class Pages(harness.unittest.TestCase):
    def test_formatters_have_nothing_to_say(self):
        for name in PAGES:
            for command in (["mandoc", "-T", "lint", "-W", "warning", page(name)],
                            ["man", "--warnings", "--encoding=UTF-8", "--troff-device=utf8", "--ditroff", "--local-file",
                             page(name)]):
                with self.subTest(name, command=command[0]):
                    done = subprocess.run(command, capture_output=True, text=True, check=False,
                                          env={**os.environ, "MANWIDTH": "80"})
                    said = done.stdout if command[0] == "mandoc" else ""
                    self.assertEqual((done.returncode, said, done.stderr), (0, "", ""))

    def test_every_option_is_in_the_page_and_in_the_help(self):
        shown = subprocess.run([harness.MANAGER, "--help"], capture_output=True, text=True, check=True).stdout
        text = subprocess.run(["man", "--local-file", page("manager.8")], capture_output=True, text=True, check=True,
                              env={**os.environ, "MANWIDTH": "200", "GROFF_NO_SGR": "1", "MANROFFOPT": "-c"}).stdout
        text = re.sub(".\b", "", text)
        options = re.findall(r"(?m)^  (?:-\w,)?(--[\w-]+)", shown)
        self.assertGreater(len(options), 15)
        self.assertEqual(re.findall(r"(?m)^       (?:-\w, )?(--[\w-]+)", text), options)


class Completion:
    """The command is typed up to where ^ is, and completed there; what it then gets is printed."""

    def setUp(self):
        self.directory = pathlib.Path(harness.tempfile.mkdtemp(prefix="belay-completion-"))
        self.addCleanup(harness.shutil.rmtree, self.directory)
        (self.directory / "charger.yaml").write_text("")
        (self.directory / "etc/everest").mkdir(parents=True)
        for name in ("default", "left", "belay"):
            (self.directory / f"etc/everest/{name}.yaml").write_text("active_modules:\n  evse:\n    module: E\n  slac: {}\nx:\n  y: 1\n")
        environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(self.directory), "LANG": "C.UTF-8"}
        self.shell = terminal.Terminal(self.command, environment)
        self.addCleanup(self.shell.close)
        self.shell.type(self.preparation + f"\ncd {self.directory}; " + "manager() { printf '<%s>' \"$@\"; echo .; }\n"
                        "echo pre''pared\n")
        self.shell.wait_for("prepared\r\n")

    def completed(self, *parts):
        """Each part is typed, and then the tabulator."""
        self.shell.type("\t".join(parts) + "\n")
        return re.findall(r"<([^<>]*)>", self.shell.wait_for(">.\r\n") + ">")

    def test_options(self):
        self.assertEqual(self.completed("manager --chec", ""), ["--check"])
        self.assertEqual(self.completed("manager --into", "--graceful", ""), ["--into-idle", "--graceful-shutdown"])

    def test_files_and_directories(self):
        self.assertEqual(self.completed("manager --config ch", ""), ["--config", "charger.yaml"])
        self.assertEqual(self.completed("manager --config=ch", ""), ["--config=charger.yaml"])
        self.assertEqual([text.rstrip("/") for text in self.completed("manager --prefix ", "")], ["--prefix", "etc"])

    def test_configurations_of_the_prefix(self):
        prefix = str(self.directory)
        self.assertEqual(self.completed(f"manager --prefix {prefix} --config le", ""), ["--prefix", prefix, "--config", "left"])
        self.assertEqual(self.completed(f"manager --prefix={prefix} --config le", ""), [f"--prefix={prefix}", "--config", "left"])
        self.assertEqual(self.completed(f"manager --prefix {prefix} --config bel", "")[-1], "bel")  # is none
        self.assertEqual(self.completed(f"manager --prefix {prefix} --config cha", "")[-1], "charger.yaml")

    def test_ids(self):
        """Also the second one of an option, and an option that is repeated."""
        begin = f"manager --prefix {self.directory} --config left "
        self.assertEqual(self.completed(begin + "--ignore ev", "sl", "")[-3:], ["--ignore", "evse", "slac"])
        self.assertEqual(self.completed(begin + "--ignore evse --ignore sl", "")[-2:], ["--ignore", "slac"])
        self.assertEqual(self.completed(begin + "--ignore y", "")[-1], "y")
        self.assertEqual(self.completed(begin + "--ignore evse --into", "")[-1], "--into-idle")

    def test_users(self):
        self.assertEqual(self.completed("manager --trust-files-of nobod", ""), ["--trust-files-of", "nobody"])


class Bash(Completion, harness.unittest.TestCase):
    command = ["/bin/bash", "--norc", "--noprofile", "-i"]
    preparation = f"bind 'set enable-bracketed-paste off'; . {HELP}/bash/manager"


class Zsh(Completion, harness.unittest.TestCase):
    command = ["/bin/zsh", "-f", "-i"]
    preparation = f"unset zle_bracketed_paste; fpath=({HELP}/zsh $fpath); autoload -U compinit; compinit -u -D"


# What each kind of value accepts and refuses; the kind is recognised by its part of the schema.
def samples(schema):
    """Good values, bad values."""
    if "anyOf" in schema:
        parts = [samples(part) for part in schema["anyOf"]]
        amount = any("infinity" in part.get("pattern", "") for part in schema["anyOf"])
        return list(itertools.chain(*(good for good, _ in parts))), [[5], "5X" if amount else "-x"]
    if "enum" in schema:
        return schema["enum"], ["nonsense", 5]
    kind = schema["type"]
    if kind == "boolean":
        return [True, False], ["maybe", 1]
    if kind in ("integer", "number"):
        least, most = schema["minimum"], schema.get("maximum")
        return [least] + ([most] if most else []), ["x", least - 1] + ([most + 1] if most else [])
    if kind == "array":
        good, bad = samples(schema["items"])
        return [good[:1]], ["nonsense"] + [[one] for one in bad]
    if "propertyNames" in schema:
        return [{}, {"A_1": "", "b": 1, "C": True}], [5, ["A=1"], {"1": "x"}, {"A-B": "x"}, {"A": None}, {"A": []}]
    if kind == "object":
        return [{}], [5, {"nonsense": 1}]
    return {"^/": (["/dev/null"], ["relative", 5]), "^/dev/": (["/dev/watchdog0"], ["/etc/passwd", 5]), ".": (["tty"], [5]), "^CAP_[A-Z_]+$": (["CAP_NET_RAW"], ["net_raw", 5]),
            "^[^-]": (["nobody"], ["-x", True]), "^[0-9]+%$": (["50%"], ["50", 50])}.get(
                schema["pattern"], (["16"], ["many"]))


# What makes a key valid beside others.
BESIDE = {"sandbox": {"landlock": "strict", "seccomp": "strict"}, "CPUSchedulingPriority": {"CPUSchedulingPolicy": "fifo"},
          "CPUSchedulingPolicy": {"CPUSchedulingPriority": 1}, "scope": {"policy": "always"}, "delay": {"max_delay": 86400},
          "max_delay": {"delay": 0}, "heartbeat": {"timeout": 86400},
          "pretimeout": {"timeout": 86400, "device": "/dev/watchdog0"}, "pretimeout_governor": {"device": "/dev/watchdog0"}}
ONE_OF_THEM = {"system_calls": [["@resources"]], "CPUSchedulingPolicy": ["fifo", "rr"], "landlock": ["strict"],
               "seccomp": ["strict"], "no_new_privileges": [True], "CPUAffinity": [[0]],
               "heartbeat": [0.1, 28800]}


def leaves(schema, path=()):
    for name, part in schema.get("properties", {}).items():
        yield (*path, name), part
        yield from leaves(part, (*path, name))
        for alternative in part.get("anyOf", ()):
            yield from leaves(alternative, (*path, name))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from leaves(schema["additionalProperties"], (*path, "*"))


def document(path, value):
    """belay.yaml with that value, and what else it takes."""
    result = {path[-1]: value}
    for name, more in BESIDE.items():
        if name in (path[-2:-1] if name == "sandbox" else path[-1:]):
            result = {**more, **result}
    for name in reversed(path[:-1]):
        result = {name: result}
    return result


class Schema(harness.unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.schema = json.loads((HELP / "schema/belay.json").read_text())
        jsonschema.Draft7Validator.check_schema(cls.schema)
        cls.directory = pathlib.Path(harness.tempfile.mkdtemp(prefix="belay-schema-", dir="/tmp"))
        cls.addClassCleanup(harness.shutil.rmtree, cls.directory)
        cls.directory.chmod(0o755)
        harness.everest_user()
        cls.prefix = harness.Prefix.small(cls.directory)
        cls.prefix.configure({"one": "Thing"}, run_as_user="everest",
                             mqtt_broker_socket_path="/run/mosquitto/mosquitto.sock")

    def accepted(self, text):
        self.prefix.write("etc/everest/belay.yaml", text)
        done = subprocess.run([self.prefix.path / "bin/manager", "--prefix", self.prefix.path, "--check", "--config", "charger"],
                              capture_output=True, text=True, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.returncode == 0, done.stderr

    def agrees(self, text):
        valid = jsonschema.Draft7Validator(self.schema).is_valid(yaml.safe_load(text))
        accepted, why = self.accepted(text)
        self.assertEqual(valid, accepted, f"the schema says {valid}, the manager {accepted}:\n{text}\n{why}")
        return valid

    def test_the_examples_are_valid(self):
        readme = re.findall(r"^```yaml\n((?:modules|broker|watchdog):\n.*?)^```$", (SOURCE / "README.md").read_text(), re.M | re.S)
        texts = [*readme, (SOURCE / "systemd/belay.yaml").read_text(), (SOURCE / "examples/charger/belay.yaml").read_text()]
        self.assertGreater(len(texts), 4)
        for text in texts:
            with self.subTest(text):
                errors = [error.message for error in jsonschema.Draft7Validator(self.schema).iter_errors(yaml.safe_load(text))]
                self.assertEqual(errors, [])

    def test_the_schema_and_the_manager_agree_on_every_key(self):
        found = 0
        for path, part in leaves(self.schema):
            good, bad = samples(part)
            good = ONE_OF_THEM.get(path[-1], good)
            for value, expected in [(value, True) for value in good] + [(value, False) for value in bad]:
                text = json.dumps(document(path, value))
                with self.subTest(text):
                    self.assertEqual(self.agrees(text), expected, text)
            found += 1
        self.assertGreater(found, 60)


if __name__ == "__main__":
    harness.main()
