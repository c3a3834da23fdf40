# SPDX-License-Identifier: Apache-2.0
"""What --check says, and how: bad files of every kind, ten mistakes at once, colour, trust, programs."""

import os
import pty
import random
import shutil
import stat
import struct
import subprocess
import unittest

from manager import MANAGER, TIMEOUT, VALID, Prefix, manager

ROOT = os.geteuid() == 0
NOBODY = 65534
CONFIG = "etc/everest/c.yaml"
MODULE = "libexec/everest/modules/Thing"


def put(text):
    return lambda path: path.write_bytes(text if isinstance(text, bytes) else text.encode())


def sparse(path):
    with open(path, "wb") as file:
        file.write(b"a: 1\n")
        file.truncate(100 << 20)


def alias_bomb():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 20)]
    return "\n".join(lines) + "\n"


# What is put in a file's place, and whether there is a line to point at.
BAD = {
    "a directory": (lambda path: path.mkdir(), False),
    "a FIFO": (os.mkfifo, False),
    "a link in a circle": (lambda path: path.symlink_to(path.name), False),
    "100 MB": (sparse, False),
    "garbage": (put(random.Random(1).randbytes(4096)), True),
    "10,000 lists": (put("a: " + "[" * 10000), True),
    "10,000 mappings": (put("{a: " * 10000), True),
    "an alias bomb": (put(alias_bomb()), True),
    "NUL": (put(b"a: b\0c\n"), True),
    "invalid UTF-8": (put(b"a: \xc3\x28\n"), True),
    "no mapping": (put("- a\n"), True),
    "not YAML": (put("a: [1\nb: ]\n"), True),
    "a large integer": (put("description: it\na: 99999999999\n"), True),
}
FILES = [CONFIG, "etc/everest/belay.yaml", f"{MODULE}/manifest.yaml", "share/everest/interfaces/thing.yaml",
         "share/everest/types/thing.yaml", "share/everest/errors/thing.yaml", "share/everest/schemas/config.yaml"]
OVERLAY = "etc/everest/user-config/c.yaml"


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


class BadFiles(WithPrefix):
    def place(self, name, bad):
        path = self.prefix.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes() if path.exists() else None
        path.unlink(missing_ok=True)
        bad(path)
        return path, before

    def replace(self, path, before):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)

    def test_each_is_refused(self):
        self.accepted(self.prefix.check())
        shutil.rmtree(self.prefix.dump)
        for name in FILES:
            for what, (bad, has_line) in BAD.items():
                if what == "an alias bomb" and "schemas" in name:
                    continue  # a schema may have any keys
                path, before = self.place(name, bad)
                done = self.prefix.check()
                self.replace(path, before)
                with self.subTest(name, what=what):
                    self.refused(done)
                    self.assertRegex(done.stderr, rf"(?m)^{path}{r':[0-9]+:[0-9]+' if has_line else ''}: error: ")
        self.accepted(self.prefix.check())

    def test_missing(self):
        for name in FILES:
            if name == "etc/everest/belay.yaml" or "types" in name:
                continue
            path, before = self.place(name, lambda path: None)
            done = self.prefix.check()
            self.replace(path, before)
            with self.subTest(name):
                self.refused(done, str(path), "error: ")

    def test_bad_overlay_is_a_warning_as_at_everest(self):
        for what, (bad, _) in BAD.items():
            path, before = self.place(OVERLAY, bad)
            done = self.prefix.check()
            self.replace(path, before)
            with self.subTest(what):
                if what != "an alias bomb":  # which is no mistake of syntax, but its keys are
                    self.accepted(done, f"{path}: warning: the overlay is unusable and is ignored")
                else:
                    self.assertEqual(1, done.returncode)
                    self.assertIn(f"{path}:1:1: error: unknown key `a0`", done.stderr)

    @unittest.skipUnless(ROOT, "needs root, which reads everything, to become somebody who does not")
    def test_unreadable(self):
        for name in FILES:
            if name == "etc/everest/belay.yaml":
                self.prefix.write(name, "{}\n")
            with self.subTest(name):
                path = self.prefix.path / name
                path.chmod(0)
                done = self.prefix.check(user=NOBODY, group=NOBODY, extra_groups=[])
                self.refused(done, f"{path}: error: the file cannot be read: Permission denied")
                path.chmod(0o644)

    def test_missing_configuration(self):
        self.prefix.write("etc/everest/charger.yaml", VALID)
        self.accepted(manager("--prefix", self.prefix.path, "--check", "--config", "charger"))
        self.refused(manager("--prefix", self.prefix.path, "--check", "--config", "chager"), "did you mean `charger`?")
        self.refused(manager("--prefix", self.prefix.path / "no", "--check", "--config", "c"), "is not a directory")
        for name, text in (("c.yml", "must end in .yaml"), ("c.json", "is deprecated")):
            path = self.prefix.write(name, '{"active_modules": {}}')
            done = manager("--prefix", self.prefix.path, "--check", "--config", path)
            self.assertEqual(0 if name == "c.json" else 1, done.returncode, done.stderr)
            self.assertIn(text, done.stderr)


TEN_MISTAKES = """\
active_module: {}
active_modules:
  a:
    module: Thing
    capabilites: [CAP_NET_RAW]
    config_module: {level: 0}
    config_implementation: {mian: {}}
    connections:
      othr: []
      other: [{module_id: c, implementation_id: main}]
  b: {module: Think}
  9: {module: Thing, config_module: {level: high}}
settings:
  run_as_usr: everest
"""
TEN_DIAGNOSTICS = """\
etc/everest/c.yaml:1:1: error: unknown key `active_module` in the configuration
    1 | active_module: {}
      | ^~~~~~~~~~~~~ did you mean `active_modules`?
etc/everest/c.yaml:5:5: error: unknown key `capabilites` in `a` of `active_modules` of the configuration
    5 |     capabilites: [CAP_NET_RAW]
      |     ^~~~~~~~~~~ did you mean `capabilities`?
etc/everest/c.yaml:6:28: error: the parameter `level` of module `a` is 0, which must be at least 1
    6 |     config_module: {level: 0}
      |                            ^
etc/everest/c.yaml:7:29: error: module `a` does not provide the implementation `mian`
    7 |     config_implementation: {mian: {}}
      |                             ^~~~ did you mean `main`?
etc/everest/c.yaml:9:7: error: module `a` has no requirement `othr`
    9 |       othr: []
      |       ^~~~ did you mean `other`?
etc/everest/c.yaml:10:27: error: the requirement `other` of module `a` refers to the module id `c`, which does not exist
   10 |       other: [{module_id: c, implementation_id: main}]
      |                           ^ did you mean `a`?
etc/everest/c.yaml:11:15: error: the module `Think` is not installed: `PREFIX/libexec/everest/modules/Think` does not exist
   11 |   b: {module: Think}
      |               ^~~~~ did you mean `Thing`?
etc/everest/c.yaml:12:3: error: `9` is not a valid name in `active_modules` of the configuration
   12 |   9: {module: Thing, config_module: {level: high}}
      |   ^ names must match ^[a-zA-Z_][a-zA-Z0-9_.-]*$
etc/everest/c.yaml:12:45: error: the parameter `level` of module `9` is a string, the manifest wants the type number
   12 |   9: {module: Thing, config_module: {level: high}}
      |                                             ^~~~
      | write a number, without quotes
etc/everest/c.yaml:14:3: error: unknown key `run_as_usr` in `settings` of the configuration
   14 |   run_as_usr: everest
      |   ^~~~~~~~~~ did you mean `run_as_user`?
manager: the configuration is invalid: 10 errors
"""


class Diagnostics(WithPrefix):
    def test_ten_mistakes(self):
        self.prefix.write(CONFIG, TEN_MISTAKES)
        done = self.prefix.check(cwd=self.prefix.path)
        self.refused(done)
        self.maxDiff = None
        self.assertEqual(TEN_DIAGNOSTICS, done.stderr.replace(str(self.prefix.path), "PREFIX"))
        # A start says the same, and starts nothing.
        done = manager("--prefix", self.prefix.path, "--config", self.prefix.config, cwd=self.prefix.path)
        self.refused(done, "10 errors")

    def on_a_terminal(self, **environment):
        self.prefix.write(CONFIG, TEN_MISTAKES)
        ours, theirs = pty.openpty()
        arguments = [MANAGER, "--prefix", self.prefix.path, "--check", "--config", self.prefix.config]
        with subprocess.Popen(list(map(str, arguments)), stderr=theirs, env=environment) as process:
            os.close(theirs)
            output = b""
            try:
                while block := os.read(ours, 4096):
                    output += block
            except OSError:  # EIO: the other end is closed
                pass
            self.assertEqual(1, process.wait(TIMEOUT))
        os.close(ours)
        return output

    def test_colour_on_a_terminal_only(self):
        self.assertIn(b"\033[1;31merror", self.on_a_terminal())
        self.assertIn(b"\033[1;31merror", self.on_a_terminal(NO_COLOR=""))
        self.assertNotIn(b"\033", self.on_a_terminal(NO_COLOR="1"))
        self.assertNotIn("\033", self.prefix.check().stderr)

    def test_wide_lines_are_cut_to_80_columns(self):
        self.prefix.write(CONFIG, "active_modules: {" + "".join(f"m{i}: {{modul: Thing}}, " for i in range(50)) + "}\n")
        done = self.prefix.check()
        self.refused(done, "100 errors", "did you mean `module`?", "…")
        for line in done.stderr.splitlines():
            if " | " in line:
                self.assertLessEqual(len(line), 80)

    def test_options(self):
        self.refused(manager("--check"), "--check needs --config")
        self.refused(manager("--check", "--config", "x", "--conf", "y"), "give only one of them")
        self.accepted(self.prefix.check("--standalone", "ab", "--ignore", "a"),
                      "--standalone: there is no module id `ab`; did you mean `a`?")
        self.assertTrue((self.prefix.dump / "config.json").exists())

    def test_environment(self):
        self.accepted(self.prefix.check(environment={"MQTT_SERVER_PORT": "x"}), "MQTT_SERVER_PORT=`x` is no port number")

    def test_dump_into_what_is_no_directory(self):
        self.prefix.dump.write_text("")
        done = self.prefix.check()
        self.assertEqual(1, done.returncode)
        self.assertIn(f"could not write {self.prefix.dump}", done.stderr)


class Capabilities(WithPrefix):
    def configure(self, capabilities, settings=""):
        self.prefix.write(CONFIG, f"{settings}active_modules:\n  a:\n    module: Thing\n    config_module: {{level: 2}}\n"
                                  f"    capabilities: {capabilities}\n")

    def test_unknown(self):
        self.configure("[CAP_NET_RAV]")
        self.refused(self.prefix.check(), f"{self.prefix.config}:5:20: error: module `a` asks for the capability "
                                          "`CAP_NET_RAV`, which does not exist", "did you mean `CAP_NET_RAW`?")

    def test_without_run_as_user(self):
        self.configure("[CAP_NET_RAW]")
        self.accepted(self.prefix.check(), "c.yaml:5:20: warning: ", "without run_as_user")

    def test_missing_user_is_a_warning_of_a_check_and_an_error_of_a_start(self):
        self.configure("[]", "settings: {run_as_user: no-such-user}\n")
        self.accepted(self.prefix.check(), "c.yaml:1:25: warning: the user `no-such-user` does not exist")
        done = manager("--prefix", self.prefix.path, "--config", self.prefix.config)
        self.assertEqual(1, done.returncode)
        self.assertIn("error: the user `no-such-user` does not exist", done.stderr)

    def test_belay_yaml(self):
        self.configure("[CAP_NET_RAW]")
        belay = self.prefix.path / "etc/everest/belay.yaml"
        for text, expected in (
                ("modules: {a: {capabilities: [CAP_NET_RAV]}}\n", "1:30: error: there is no capability `CAP_NET_RAV`"),
                ("module: {}\n", "1:1: error: unknown key `module`"),
                ("modules: {a: {capabilites: []}}\n", "did you mean `capabilities`?"),
                ("modules: {a: {capabilities: CAP_NET_RAW}}\n", "1:29: error: `capabilities` must be a list"),
                ("modules: {a: {capabilities: [5]}}\n", "1:30: error: a capability must be a name"),
                ("modules: []\n", "1:10: error: `modules` must be a mapping"),
                ("modules: {a: 5}\n", "1:14: error: `a` must be a mapping"),
                ("modules: {a: {limits: {LimitNOFIL: 5}}}\n", "did you mean `LimitNOFILE`?"),
                ("modules: {a: {limits: {LimitNOFILE: x}}}\n", "1:37: error: `LimitNOFILE` is no valid limit"),
                ("modules: {a: {limits: {LimitNOFILE: -1}}}\n", "no valid limit"),
                ("modules: {a: {limits: {LimitNOFILE: 1K}}}\n", "no valid limit"),
                ("modules: {a: {limits: {LimitAS: '2:1'}}}\n", "soft not above hard"),
                ("modules: {a: {limits: {LimitAS: 99999999999T}}}\n", "no valid limit"),
                ("broker: {connect_timeout: soon}\n", "1:27: error: `connect_timeout` must be seconds"),
                ("broker: {connect_timeou: 1}\n", "did you mean `connect_timeout`?")):
            with self.subTest(text):
                belay.write_text(text)
                self.refused(self.prefix.check(), f"{belay}:1:", expected)
        belay.write_text("modules: {a: {capabilities: []}}\n")
        self.refused(self.prefix.check(), "c.yaml:5:20: error: module `a` asks for the capability `CAP_NET_RAW`, which "
                                          "belay.yaml does not allow")
        belay.write_text("modules: {aa: {}, Thing: {limits: {LimitAS: 2G}}, '*': {}}\n")
        self.accepted(self.prefix.check(), f"{belay}:1:11: warning: `aa` is neither the id nor the name of a module",
                      "did you mean `a`?")


class Programs(WithPrefix):
    def program(self, text, mode=0o755):
        path = self.prefix.path / MODULE / "Thing"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
            path.chmod(mode)

    def test_what_could_not_be_executed(self):
        for text, mode, expected in (
                (None, 0, "it has no executable"), ("#!/bin/sh\n", 0o644, "is not executable"),
                ("#!/no/such/interpreter\n", 0o755, "the interpreter `/no/such/interpreter` of"),
                ("#!sh\n", 0o755, "not an absolute path"), ("#!\n", 0o755, "not an absolute path"),
                ("echo hello\n", 0o755, "is neither an ELF program nor a script"),
                (f"#!{self.prefix.path / MODULE / 'Thing'}\n", 0o755, "are scripts of scripts")):
            with self.subTest(expected):
                self.program(text, mode)
                self.accepted(self.prefix.check(), "c.yaml:3:15: warning: module `a` cannot be started: ", expected)
                done = manager("--prefix", self.prefix.path, "--config", self.prefix.config)
                self.assertEqual(1, done.returncode)
                self.assertIn("error: module `a` cannot be started: ", done.stderr)

    @unittest.skipUnless(ROOT, "needs root to give a file capabilities")
    def test_file_capabilities(self):
        net_raw = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)  # capabilities(7): version 2, effective
        os.setxattr(self.prefix.path / MODULE / "Thing", "security.capability", net_raw)
        self.accepted(self.prefix.check(), "carries file capabilities (cap_net_raw=ep)", "setcap -r")


@unittest.skipUnless(ROOT, "needs files that belong to root")
class Trust(WithPrefix):
    def setUp(self):
        super().setUp()
        self.prefix.write(CONFIG, "settings: {run_as_user: daemon}\n" + VALID.split("\n", 1)[1])
        (self.prefix.path / MODULE / "Thing").unlink()

    def use(self, script, library):
        self.prefix.write(f"{MODULE}/{script}", "")
        return self.prefix.write(f"lib/everest/{library}/everest/file", "")

    def distrusted(self, path):
        for done in (self.prefix.check(), manager("--prefix", self.prefix.path, "--config", self.prefix.config)):
            self.assertIn(f"{path}", done.stderr)
            self.assertIn("can be written by others", done.stderr)
        self.assertEqual(1, done.returncode)
        self.assertIn("nothing was started", done.stderr)

    def test_trusted(self):
        self.use("module.py", "everestpy")
        done = self.prefix.check()
        self.accepted(done)
        self.assertNotIn("would refuse", done.stderr.replace("libexec/everest/launcher", ""))

    def test_python_library(self):
        file = self.use("module.py", "everestpy")
        file.chmod(0o664)
        self.distrusted(file)

    def test_missing_python_library_could_be_created(self):
        self.use("module.py", "node_modules")
        directory = self.prefix.path / "lib/everest"
        directory.chmod(0o777)
        self.distrusted(directory)

    def test_directory_behind_a_link(self):
        self.use("module.py", "everestpy")
        other = self.prefix.write("elsewhere/file", "")
        (self.prefix.path / MODULE / "package").symlink_to(other.parent)
        other.chmod(0o666)
        self.distrusted(other)

    def test_virtual_environment(self):
        self.use("module.py", "everestpy")
        venv = self.prefix.path / MODULE / ".venv/bin"
        venv.mkdir(parents=True)
        (venv / "python3").symlink_to(os.path.realpath("/usr/bin/python3"))
        self.accepted(self.prefix.check())
        venv.chmod(0o777)
        self.distrusted(venv)

    @unittest.skipUnless(shutil.which("node", path="/usr/local/bin:/usr/bin:/bin"), "needs node")
    def test_node_modules(self):
        file = self.use("index.js", "node_modules")
        file.chmod(0o666)
        self.distrusted(file)

    def test_logging_configuration(self):
        file = self.prefix.path / "etc/everest/default_logging.cfg"
        file.chmod(file.stat().st_mode | stat.S_IWOTH)
        self.use("module.py", "everestpy")
        self.distrusted(file)


if __name__ == "__main__":
    unittest.main()
