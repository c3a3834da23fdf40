# SPDX-License-Identifier: Apache-2.0
"""The real bin/manager, and a small installed prefix for it to read."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

MANAGER = os.environ["BELAY_MANAGER"]
TIMEOUT = 60
ROOT = os.geteuid() == 0
CONFIG = "etc/everest/c.yaml"
MODULE = "libexec/everest/modules/Thing"

NAME = "^[a-zA-Z_][a-zA-Z0-9_.-]*$"
SCHEMAS = {
    "config": "type: object\n"
              "additionalProperties: false\n"
              "properties:\n"
              "  settings: {type: object, additionalProperties: false, properties: {run_as_user: {type: string},"
              " validate_schema: {type: boolean}, mqtt_broker_port: {type: integer}}}\n"
              "  active_modules:\n"
              "    type: object\n"
              "    additionalProperties: false\n"
              f"    patternProperties: {{'{NAME}': {{type: object, required: [module], additionalProperties: false,"
              " properties: {module: {type: string}, standalone: {type: boolean}, capabilities: {type: array},"
              " config_module: {type: object}, config_implementation: {type: object}, connections: {type: object}}}}\n",
    "manifest": "type: object\nrequired: [description]\n",
    "interface": "type: object\nrequired: [description]\n",
    "type": "type: object\nrequired: [description]\n",
    "error-declaration-list": "type: object\nrequired: [description]\n",
}
FILES = {
    "etc/everest/default_logging.cfg": "",
    "share/everest/interfaces/thing.yaml": "description: a thing\nvars: {}\ncmds: {}\n"
                                           "errors: [{reference: /errors/thing}]\n",
    "share/everest/errors/thing.yaml": "description: errors\nerrors: [{name: Wet, description: it is wet}]\n",
    "share/everest/types/thing.yaml": "description: types\ntypes: {}\n",
    "libexec/everest/modules/Thing/manifest.yaml":
        "description: a thing\nconfig: {level: {type: number, description: how high, minimum: 1}}\n"
        "provides: {main: {interface: thing, description: it}}\n"
        "requires: {other: {interface: thing, min_connections: 0}}\n",
}
VALID = ("settings: {validate_schema: true}\n"
         "active_modules:\n  a: {module: Thing, config_module: {level: 2}}\n")


class Prefix:
    """Below a directory that only root can write, as the trust rule wants it."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="belay-cli-"))
        self.path.chmod(0o755)
        (self.path / "share/everest/www").mkdir(parents=True)
        for name, text in SCHEMAS.items():
            self.write(f"share/everest/schemas/{name}.yaml", text)
        for name, text in FILES.items():
            self.write(name, text)
        shutil.copy("/bin/true", self.path / "libexec/everest/modules/Thing/Thing")
        self.config = self.write("etc/everest/c.yaml", VALID)
        self.dump = self.path / "dump"

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def remove(self):
        shutil.rmtree(self.path)

    def check(self, *arguments, **options):
        """--check --dump of c.yaml."""
        return manager("--prefix", self.path, "--check", "--dump", self.dump, "--config", self.config, *arguments,
                       **options)


def manager(*arguments, environment=None, **options):
    """The finished process, its standard error as text whatever its bytes are."""
    variables = {"PATH": os.environ["PATH"], **(environment or {})}
    return subprocess.run([MANAGER, *map(str, arguments)], env=variables, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, encoding="utf-8",
                          errors="replace", check=False, **options)


class WithPrefix(unittest.TestCase):
    def setUp(self):
        self.prefix = Prefix()
        self.addCleanup(self.prefix.remove)

    def refused(self, done, *texts):
        self.assertEqual(1, done.returncode, done.stderr)  # a signal would be negative
        self.assertEqual("", done.stdout)
        self.assertFalse(self.prefix.dump.exists(), "something was written")
        for text in texts:
            self.assertIn(text, done.stderr)

    def accepted(self, done, *texts):
        self.assertEqual(0, done.returncode, done.stderr)
        for text in texts:
            self.assertIn(text, done.stderr)
