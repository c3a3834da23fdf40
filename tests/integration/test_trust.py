# SPDX-License-Identifier: Apache-2.0
"""Root grants privileges only on the word of files that only root can write: DESIGN.md §1, from outside."""

import os
import shutil

import harness
from harness import START, Prefix
from mqtt import Broker

SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
NET_RAW = 1 << 13
OVERLAY = "etc/everest/user-config/charger.yaml"


class TrustCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.prefix = Prefix.small(self.scratch / "prefix", ["Thing", "Other"])
        self.broker = Broker(self)
        self.observer = self.broker.observe()

    def configure(self, modules=None, **settings):
        return self.prefix.configure(modules or {"one": "Thing", "two": "Other"}, **settings, **self.broker.settings)

    def check_nothing_happened(self):
        self.observer.fence()
        heard = [one["topic"] for one in self.observer.messages() if not one["topic"].startswith("fence/")]
        self.assertEqual(heard, [])

    def check_runs(self, manager):
        manager.wait_for("ALL_MODULES_STARTED")
        self.assertEqual(manager.status(), START)
        reports = {module: self.observer.report(module) for module in ("one", "two")}
        self.assertEqual(manager.stop(), 0, manager)
        self.assert_nothing_left(manager, self.broker)
        return reports


class Files(TrustCase):
    """Each kind of file and directory that has a say."""

    def setUp(self):
        super().setUp()
        self.config = self.configure(run_as_user="everest")
        self.belay = self.prefix.write("etc/everest/belay.yaml", "broker: {connect_timeout: 5}\n")
        modules = self.prefix.modules
        share = self.prefix.path / "share/everest"
        self.kinds = {
            "configuration": self.config,
            "belay.yaml": self.belay,
            "manifest": modules / "Thing/manifest.yaml",
            "interface": share / "interfaces/thing.yaml",
            "schema": share / "schemas/config.yaml",
            "executable": modules / "Thing/Thing",
            "launcher": self.prefix.path / "libexec/everest/launcher",
            "module directory": modules / "Other",
            "directory of modules": modules,
            "directory of configurations": self.prefix.configs,
            "prefix": self.prefix.path,
            "directory above the prefix": self.scratch,
        }

    def refuse(self, *texts):
        manager = self.start(self.prefix, self.config)
        self.assert_refused(manager, "nothing was started", "--trust-files-of", *texts)
        self.assertEqual(manager.status(), ["MANAGER_INITIALIZING"])
        return manager

    def test_all_in_order(self):
        self.check_runs(self.start(self.prefix, self.config))

    def test_writable_by_others(self):
        for who, bits in (("group", 0o020), ("everybody", 0o002)):
            for kind, path in self.kinds.items():
                with self.subTest(kind=kind, writable_by=who):
                    before = path.stat().st_mode & 0o7777
                    path.chmod(before | bits)
                    self.refuse(path, f"can be written by others than its owner (mode 0{before | bits:o})",
                                "chmod go-w")
                    path.chmod(before)
        self.check_nothing_happened()

    def test_wrong_owner(self):
        for kind, path in self.kinds.items():
            with self.subTest(kind=kind):
                os.chown(path, self.everest.pw_uid, -1)
                self.refuse(path, f"belongs to uid {self.everest.pw_uid}, not to root", "chown root")
                os.chown(path, 0, -1)
        self.check_nothing_happened()

    def test_all_objections_at_once(self):
        for kind in ("manifest", "executable", "belay.yaml"):
            self.kinds[kind].chmod(0o777)
        self.refuse(*(self.kinds[kind] for kind in ("manifest", "executable", "belay.yaml")))

    def test_other_files_of_a_module(self):
        """A library or a script beside the program is as good as the program."""
        beside = self.prefix.write("libexec/everest/modules/Thing/lib/helper.py", "", 0o646)
        self.refuse(beside, "chmod go-w")

    def test_files_behind_a_link_of_a_module(self):
        library = self.scratch / "library"
        library.mkdir()
        (library / "back").symlink_to(library)
        (self.prefix.modules / "Thing/lib").symlink_to(library)
        self.check_runs(self.start(self.prefix, self.config))
        helper = library / "helper.py"
        helper.write_text("")
        helper.chmod(0o646)
        self.refuse(helper, "chmod go-w")

    def test_libraries_of_native_modules(self):
        """The linker loads them into every module, whatever its capabilities."""
        library = self.prefix.write("lib/libframework.so.1", "")
        (self.prefix.path / "lib/libframework.so").symlink_to(library.name)
        self.check_runs(self.start(self.prefix, self.config))
        os.chown(library, self.everest.pw_uid, -1)
        self.refuse(library, "chown root")
        os.chown(library, 0, -1)
        library.parent.chmod(0o775)
        self.refuse(library.parent, "chmod go-w")

    def test_what_the_command_line_names_is_reached_without_help_of_others(self):
        """A link of somebody else chooses among root's files."""
        links = self.scratch / "links"
        links.mkdir()
        (links / "prefix").symlink_to(self.prefix.path)
        (links / "charger.yaml").symlink_to(self.config)
        config, path = self.config, self.prefix.path
        for named in ("prefix", "charger.yaml"):
            with self.subTest(link=named):
                self.prefix.path = links / "prefix" if named == "prefix" else path
                self.config = links / "charger.yaml" if named == "charger.yaml" else config
                self.check_runs(self.start(self.prefix, self.config))
                os.chown(links, self.everest.pw_uid, -1)
                self.refuse(links, "chown root")
                os.chown(links, 0, -1)

    def test_what_python_users_install_for_themselves(self):
        """What one module writes below its home must not run in another one, with that one's capabilities."""
        self.prefix.script("Python", "module.py",
                           "import site, sys\nsys.exit(0 if site.ENABLE_USER_SITE is False else 7)\n")
        self.config = self.configure({"one": "Python"}, run_as_user="everest")
        manager = self.start(self.prefix, self.config)
        manager.wait_for_log("one (pid")
        self.assertIn("ended unexpectedly: exit code 0", manager.log)
        self.assertEqual(manager.wait(), 1)

    def test_sticky_directory_of_a_module(self):
        """What is not there yet is looked for there: a library of an interpreter's."""
        (self.prefix.modules / "Thing").chmod(0o1777)
        self.refuse(self.prefix.modules / "Thing", "others than its owner can create files there")

    def test_interpreter_that_is_a_script(self):
        self.prefix.script("Script", "Script", f"#!{self.scratch}/interpreter\n")
        interpreter = self.scratch / "interpreter"
        interpreter.write_text("#!/bin/sh\nexec sleep 60\n")
        interpreter.chmod(0o757)
        self.config = self.configure({"one": "Script"}, run_as_user="everest")
        self.refuse(interpreter, "chmod go-w")

    def test_interpreter_of_a_virtual_environment(self):
        program = self.prefix.script("Python", "module.py", "")
        python = self.prefix.write("libexec/everest/modules/Python/.venv/bin/python3", "#!/bin/sh\n", 0o755)
        os.chown(python, self.everest.pw_uid, -1)
        self.config = self.configure({"one": "Python"}, run_as_user="everest")
        self.refuse(python, "chown root")
        self.assertTrue(program.exists())

    def test_program_that_is_replaced_after_the_check(self):
        """What runs is what was checked, not what has its name now."""
        self.broker.kill()
        manager = self.start(self.prefix, self.config)
        manager.wait_for_log("waiting for the MQTT broker")
        harness.wait_until(lambda: harness.argv_of(manager.pid)[:1] == ["launcher"] and self.has_opened(manager.pid),
                           "the launcher's work with the file system")
        other = self.prefix.write("libexec/everest/modules/Thing/other", "#!/bin/sh\nexit 7\n", 0o755)
        other.rename(self.prefix.modules / "Thing/Thing")
        self.broker.start()
        manager.wait_for("ALL_MODULES_STARTED")
        self.assertEqual(manager.stop(), 0, manager)

    def has_opened(self, launcher):
        """It is at its work: the system call filter is the last thing before."""
        return harness.status_of(launcher)["Seccomp"] == "2"

    def move(self, name, directory):
        """Moves the module to `directory` and leaves a symbolic link."""
        module = self.prefix.modules / name
        shutil.move(module, directory / name)
        module.symlink_to(directory / name)

    def test_symlink_through_an_unsafe_directory(self):
        unsafe = self.scratch / "unsafe"
        unsafe.mkdir()
        self.move("Thing", unsafe)
        self.check_runs(self.start(self.prefix, self.config))
        before = self.observer.count()
        os.chown(unsafe, self.everest.pw_uid, self.everest.pw_gid)
        self.refuse(unsafe, "chown root")
        os.chown(unsafe, 0, 0)
        unsafe.chmod(0o777)
        self.refuse(unsafe, "chmod go-w")
        self.observer.fence()
        heard = [one["topic"] for one in self.observer.messages()[before:] if "fence/" not in one["topic"]]
        self.assertEqual(heard, [])

    def test_sticky_directory_is_fine(self):
        sticky = self.scratch / "sticky"
        sticky.mkdir()
        sticky.chmod(0o1777)
        self.move("Thing", sticky)
        self.check_runs(self.start(self.prefix, self.config))

    def test_symlink_of_somebody_else(self):
        link = self.prefix.modules / "Link"
        link.symlink_to(self.prefix.modules / "Thing")
        shutil.copytree(self.prefix.modules / "Thing", self.prefix.modules / "Real")
        os.chown(link, self.everest.pw_uid, -1, follow_symlinks=False)
        os.rename(self.prefix.modules / "Thing/Thing", self.prefix.modules / "Thing/Link")
        self.config = self.configure({"one": "Link"}, run_as_user="everest")
        self.refuse(link, "chown root")

    def own_everything(self):
        for directory, _, files in os.walk(self.prefix.path):
            for path in (directory, *(os.path.join(directory, file) for file in files)):
                os.chown(path, self.everest.pw_uid, self.everest.pw_gid)

    def test_trusting_a_developer(self):
        self.own_everything()
        self.refuse(self.config)
        manager = self.start(self.prefix, self.config, "--trust-files-of", "everest")
        self.check_runs(manager)
        self.assertIn("WARNING: trusting the files of `everest`: whoever is `everest` is root here.", manager.log)

    def test_trusting_a_developer_is_not_trusting_all(self):
        self.own_everything()
        self.config.chmod(0o664)
        manager = self.start(self.prefix, self.config, "--trust-files-of", "everest")
        self.assert_refused(manager, self.config, "chmod go-w")

    def test_trusting_nobody_in_particular(self):
        manager = self.start(self.prefix, self.config, "--trust-files-of", "no-such-user")
        self.assert_refused(manager, "there is no user `no-such-user`")

    def test_without_run_as_user_it_does_not_apply(self):
        self.config = self.configure()
        self.config.chmod(0o666)
        self.check_runs(self.start(self.prefix, self.config))


class Overlay(TrustCase):
    """What the user `everest` may write may change parameter values, and nothing else."""

    def overlay(self, text):
        path = self.prefix.write(OVERLAY, text)
        for one in (path, path.parent):
            os.chown(one, self.everest.pw_uid, self.everest.pw_gid)
        return path

    def test_values(self):
        config = self.configure(run_as_user="everest")
        self.overlay("active_modules:\n  one:\n    config_module: {label: changed}\n"
                     "    config_implementation:\n      main: {speed: 9}\n")
        manager = self.start(self.prefix, config)
        manager.wait_for("ALL_MODULES_STARTED")
        answer = self.observer.ask({"type": "Get", "origin": "one", "request": {"type": "All"}})
        values = {one["name"]: one["value"] for parameters in answer["response"]["data"]["one"].values()
                  for one in parameters}
        self.assertEqual(values, {"label": "changed", "level": 1.0, "speed": 9})
        self.assertEqual(manager.stop(), 0, manager)

    def test_more_than_values(self):
        config = self.configure(run_as_user="everest")
        for text, line, key in (
                ("settings:\n  run_as_user: root\n", 1, "settings"),
                ("active_modules:\n  one:\n    config_module: {label: x}\n    module: Other\n", 4, "module"),
                ("active_modules:\n  one:\n    capabilities: [CAP_SYS_ADMIN]\n", 3, "capabilities"),
                ("active_modules:\n  one:\n    standalone: true\n", 3, "standalone"),
                ("active_modules:\n  one:\n    access: {config: {allow_global_write: true}}\n", 3, "access"),
                ("active_modules:\n  one:\n    connections: {}\n", 3, "connections"),
                ("active_modules:\n  three:\n    module: Thing\n", 2, "three"),
                ("active_modules:\n  one: null\n", 2, "one"),
                ("active_modules: null\n", 1, "active_modules")):
            with self.subTest(key=key):
                path = self.overlay(text)
                manager = self.start(self.prefix, config)
                self.assert_refused(manager, f"{path}:{line}:", f"`{key}` is not allowed in an overlay")
        self.check_nothing_happened()

    def test_without_run_as_user(self):
        """There, it may do what it may in EVerest."""
        config = self.configure()
        self.prefix.write(OVERLAY, "active_modules:\n  two:\n    module: Thing\n  three:\n    module: Thing\n")
        manager = self.start(self.prefix, config)
        manager.wait_for("ALL_MODULES_STARTED")
        self.assertEqual(self.observer.report("two")["argv"][0], "two:Thing")
        self.observer.report("three")
        self.assertEqual(manager.stop(), 0, manager)


class Root(TrustCase):
    """Without `run_as_user`, modules stay root, as under EVerest."""

    def test_modules_stay_root(self):
        own = harness.status_of(os.getpid())
        manager = self.start(self.prefix, self.configure())
        for report in self.check_runs(manager).values():
            status = report["status"]
            self.assertEqual(status["Uid"].split() + status["Gid"].split(), ["0"] * 8)
            self.assertEqual((status["CapPrm"], status["CapEff"]), (own["CapPrm"], own["CapEff"]))
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertEqual(manager.log.count("run as root with everything root may do"), 1)
        self.assertIn("set `run_as_user` under `settings`", manager.log)

    def test_declared_capabilities_are_all_there_is(self):
        # Root without CAP_DAC_OVERRIDE is like everybody else at a socket of somebody else's.
        self.broker.socket.chmod(0o777)
        config = self.configure({"one": {"module": "Thing", "capabilities": ["CAP_NET_RAW"]}, "two": "Other"})
        manager = self.start(self.prefix, config)
        reports = self.check_runs(manager)
        status = reports["one"]["status"]
        self.assertEqual({name: int(status[name], 16) for name in SETS}, dict.fromkeys(SETS, NET_RAW))
        self.assertEqual(status["Uid"].split(), ["0"] * 4)
        attempts = reports["one"]["attempts"]
        self.assertEqual({name for name, error in attempts.items() if error == 0}, {"setuid", "raw_socket", "run_own_program"})
        self.assertEqual(manager.log.count("run as root with everything root may do"), 1)
        self.assertNotEqual(reports["two"]["status"]["CapEff"], status["CapEff"])


class Grants(TrustCase):
    """What belay.yaml allows, and what may be asked for."""

    def test_more_than_belay_yaml_allows(self):
        self.prefix.write("etc/everest/belay.yaml", "modules:\n  \"*\": {capabilities: []}\n"
                                                    "  one: {capabilities: [CAP_NET_RAW]}\n")
        one = {"module": "Thing", "capabilities": ["CAP_NET_RAW"]}
        manager = self.start(self.prefix, self.configure({"one": one, "two": "Other"}, run_as_user="everest"))
        self.assertEqual(int(self.check_runs(manager)["one"]["status"]["CapEff"], 16), NET_RAW)
        manager = self.start(self.prefix, self.configure({"one": "Thing", "two": {**one, "module": "Other"}},
                                                         run_as_user="everest"))
        self.assert_refused(manager, "module `two` asks for the capability `CAP_NET_RAW`, which belay.yaml does not "
                                     "allow")

    def test_unknown_capability(self):
        for name in ("CAP_NET_RAV", "63", "cap_net_raw+ep", ""):
            config = self.configure({"one": {"module": "Thing", "capabilities": [name]}}, run_as_user="everest")
            self.assert_refused(self.start(self.prefix, config), f"`{name}`, which does not exist")
        self.check_nothing_happened()

    def test_unknown_user(self):
        config = self.configure(run_as_user="no-such-user")
        self.assert_refused(self.start(self.prefix, config), f"{config}:", "the user `no-such-user` does not exist",
                            "useradd")


if __name__ == "__main__":
    harness.main()
