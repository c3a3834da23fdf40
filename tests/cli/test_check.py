# SPDX-License-Identifier: Apache-2.0
"""What --check says, and how: bad files of every kind, ten mistakes at once, colour."""

import os
import pty
import random
import shutil
import subprocess
import unittest

from manager import CONFIG, MANAGER, MODULE, ROOT, TIMEOUT, VALID, WithPrefix, manager

NOBODY = 65534


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

    @unittest.skipUnless(ROOT, "needs root, which searches everything, to become somebody who does not")
    def test_closed_directory_is_named_once(self):
        for name, subject in ((".", "the prefix"), ("share/everest", "EVerest in")):
            path = (self.prefix.path / name).resolve()
            path.chmod(0o700)
            done = self.prefix.check(user=NOBODY, group=NOBODY, extra_groups=[])
            path.chmod(0o755)
            with self.subTest(name):
                self.refused(done, f"error: {subject} `{path}", f"` cannot be reached: Permission denied for `{path}`; "
                             "let the user that starts the manager search that directory", "invalid: 1 error")

    def test_belay_yaml_and_overlay_are_named(self):
        self.accepted(self.prefix.check(), "c.yaml: belay.yaml: none, overlay: none\n")
        policy = self.prefix.write("etc/everest/belay.yaml", "")
        overlay = self.prefix.write(OVERLAY, "")
        self.accepted(self.prefix.check(), f"c.yaml: belay.yaml: {policy}, overlay: {overlay}\n")

    def test_configuration_without_a_name(self):
        for name in ("/dev/stdin", "/dev/fd/63", "/proc/self/fd/0"):
            done = manager("--prefix", self.prefix.path, "--check", "--config", name)
            self.refused(done, f"{name}: error: a configuration must have a name: a reload reads it again; write it to a file")

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


class AllManifests(WithPrefix):
    def dump_all(self):
        return manager("--prefix", self.prefix.path, "--dumpmanifests", self.prefix.dump)

    def test_each_installed_one(self):
        self.prefix.write("libexec/everest/modules/Other/manifest.yaml", "description: another\n")
        (self.prefix.path / "libexec/everest/modules/no_module").mkdir()
        self.accepted(self.dump_all())
        self.assertEqual({"Thing.yaml", "Other.yaml"}, set(os.listdir(self.prefix.dump)))

    def test_nothing_is_written_if_one_is_bad(self):
        for what, (bad, _) in BAD.items():
            path = self.prefix.path / "libexec/everest/modules/Other/manifest.yaml"
            path.parent.mkdir()
            bad(path)
            done = self.dump_all()
            shutil.rmtree(path.parent)
            with self.subTest(what):
                if what == "an alias bomb":  # this prefix's schema of a manifest takes any keys
                    self.refused(done, "lacks the key `description`")
                else:
                    self.refused(done, f"{path}:")


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
        self.assertNotIn(b"\033", self.on_a_terminal(TERM="dumb"))
        self.assertNotIn("\033", self.prefix.check().stderr)

    def test_wide_lines_are_cut_to_80_columns(self):
        self.prefix.write(CONFIG, "active_modules: {" + "".join(f"m{i}: {{modul: Thing}}, " for i in range(50)) + "}\n")
        done = self.prefix.check()
        self.refused(done, "50 errors", "did you mean `module`?", "…")
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


if __name__ == "__main__":
    unittest.main()
