# SPDX-License-Identifier: Apache-2.0
"""What --check and a start say about capabilities, belay.yaml, programs and the trust rule."""

import os
import shutil
import stat
import struct
import subprocess
import unittest

from manager import CONFIG, MANAGER, MODULE, ROOT, VALID, WithPrefix, manager


class Program(unittest.TestCase):
    def test_what_root_runs_has_no_libraries_of_networks(self):
        linked = subprocess.run(["ldd", MANAGER], check=True, capture_output=True, text=True).stdout
        self.assertIn("libyaml", linked)
        for library in ("mosquitto", "ssl", "crypto", "systemd", "lzma"):
            self.assertNotIn(f"lib{library}", linked)


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
                ("modules: {a: {capabilities: [NET_RAW]}}\n", "did you mean `CAP_NET_RAW`?"),
                ("module: {}\n", "1:1: error: unknown key `module`"),
                ("modules: {a: {capabilites: []}}\n", "did you mean `capabilities`?"),
                ("modules: {a: {capabilities: CAP_NET_RAW}}\n", "1:29: error: `capabilities` must be a list"),
                ("modules: {a: {capabilities: [5]}}\n", "1:30: error: `capabilities` must be a list of names"),
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
        self.allow_new_privileges(True)
        self.refused(self.prefix.check(), "error: ", "carries file capabilities (cap_net_raw=ep), which with "
                                          "`no_new_privileges: false` it would have beside the declared ones", "setcap -r")
        self.allow_new_privileges(False)
        self.accepted(self.prefix.check(), "carries file capabilities (cap_net_raw=ep): they have no effect", "setcap -r")

    def test_set_id_bits(self):
        program = self.prefix.path / MODULE / "Thing"
        self.allow_new_privileges(True)
        for bit, name in ((stat.S_ISUID, "setuid"), (stat.S_ISGID, "setgid")):
            with self.subTest(name):
                program.chmod(0o755 | bit)
                self.refused(self.prefix.check(), f"has the {name} bit, which with `no_new_privileges: false` would make "
                                                  "it somebody else", f"chmod ug-s {program}")
        self.allow_new_privileges(False)
        self.assertNotIn("setgid", self.prefix.check().stderr)

    def allow_new_privileges(self, allowed):
        text = "modules: {a: {sandbox: {no_new_privileges: false}}}\n" if allowed else ""
        self.prefix.write("etc/everest/belay.yaml", text)


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
