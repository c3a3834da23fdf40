# SPDX-License-Identifier: Apache-2.0
"""A whole charger starts and stops: what each process is, seen from inside, and what is left afterwards."""

import os
import re
import signal
import subprocess

import harness
from harness import START, STOP, Prefix, groups_of, status_of
from mqtt import Broker

SETS = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
NET_RAW = 1 << 13
KILL, SETGID, SETUID, SETPCAP = 1 << 5, 1 << 6, 1 << 7, 1 << 8
# NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, these and KEEP_CAPS locked: capabilities(7)
LOCKED = 0xEF
EPERM, EACCES = 1, 13
# What a module tries, and what it is told; those with a neighbour take Landlock's ABI 6.
ATTEMPTS = dict.fromkeys(["setuid", "capset", "user_namespace", "mount", "trace_parent", "raw_socket",
                          "signal_neighbour", "trace_neighbour"], EPERM) | {
                              "write_to_neighbour": EACCES, "run_own_program": EACCES}

PASSED_ON = {"LANG": "C.UTF-8", "LC_TIME": "C", "TZ": "UTC", "TERM": "dumb", "NO_COLOR": "1"}
# What must never reach a module that runs with other privileges than its starter.
WITHHELD = {"LD_PRELOAD": "libm.so.6", "LD_LIBRARY_PATH": "/nonexistent", "EV_MODULE": "somebody",
            "EV_MQTT_BROKER_HOST": "elsewhere", "PYTHONPATH": "/nonexistent", "NODE_PATH": "/nonexistent",
            "NODE_OPTIONS": "--inspect", "BASH_ENV": "/nonexistent", "SSH_AUTH_SOCK": "/nonexistent",
            "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1", "JOURNAL_STREAM": "1:2", "LISTEN_FDS": "3",
            "XDG_RUNTIME_DIR": "/run/user/0", "GLIBC_TUNABLES": "glibc.malloc.check=3", "PWD": "/root"}


def masks(status):
    return {name: int(status[name], 16) for name in SETS}


class Charger(harness.Case):
    """`configuration` of EVerest with `run_as_user`, our broker, and CAP_NET_RAW for the module `slac`."""

    def derive(self, prefix, name, broker, capable):
        text = (prefix.configs / f"{name}.yaml").read_text()
        settings = f"  run_as_user: everest\n  mqtt_broker_socket_path: {broker.socket}\n"
        if re.search(r"^settings:$", text, re.MULTILINE):
            text = re.sub(r"^settings:$", "settings:\n" + settings.rstrip("\n"), text, count=1, flags=re.MULTILINE)
        else:
            text = f"settings:\n{settings}{text}"
        head, begin, modules = text.partition("active_modules:\n")
        modules, count = re.subn(rf"^  {capable}:$", f"  {capable}:\n    capabilities: [CAP_NET_RAW]", modules, count=1,
                                 flags=re.MULTILINE)
        self.assertEqual(count, 1, f"{name} has no module `{capable}`")
        return prefix.write("etc/everest/derived.yaml", head + begin + modules)

    def start_charger(self, prefix, config, modules):
        self.manager = self.start(prefix, config, environment={"PATH": "/nonexistent", **PASSED_ON, **WITHHELD})
        self.manager.wait_for("ALL_MODULES_STARTED")
        self.assertEqual(self.manager.status(), START)
        return {module: self.observer.report(module) for module in modules}

    def check_inside(self, module, report, capabilities):
        """What `module` says of itself is what the plan said, exactly."""
        with self.subTest(module=module):
            status = report["status"]
            self.assertEqual(masks(status), dict.fromkeys(SETS, capabilities))
            self.assertEqual(status["Uid"].split(), [str(self.everest.pw_uid)] * 4)
            self.assertEqual(status["Gid"].split(), [str(self.everest.pw_gid)] * 4)
            self.assertEqual(sorted(map(int, status["Groups"].split())), groups_of(self.everest))
            self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
            self.assertEqual(report["securebits"], LOCKED)
            self.assertEqual([int(status[name], 16) for name in ("SigBlk", "SigIgn", "SigPnd")], [0, 0, 0])
            self.assertEqual(set(report["descriptors"]), {"0", "1", "2"})
            self.assertEqual(report["descriptors"]["0"], "/dev/null")
            self.assertEqual(report["environment"], self.environment())
            self.assertEqual(report["pdeathsig"], signal.SIGKILL)
            self.assertEqual(report["umask"], 0o027)
            self.assertEqual(report["ppid"], self.manager.pid)
            self.assertEqual((report["sid"], report["pgid"]), (report["pid"], report["pid"]))
            self.assertEqual(report["cwd"], self.everest.pw_dir if os.path.isdir(self.everest.pw_dir) else "/")
            self.assertEqual(report["attempts"], ATTEMPTS | ({"raw_socket": 0} if capabilities else {}))

    def environment(self):
        return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.everest.pw_dir,
                "USER": "everest", "LOGNAME": "everest", "SHELL": self.everest.pw_shell,
                "PYTHONNOUSERSITE": "1", **PASSED_ON}

    def check_manager(self):
        status = status_of(self.manager.manager_pid())
        self.assertEqual(masks(status), dict.fromkeys(SETS, 0))
        self.assertEqual(status["Uid"].split(), [str(self.everest.pw_uid)] * 4)
        self.assertEqual(status["Gid"].split(), [str(self.everest.pw_gid)] * 4)
        self.assertEqual(sorted(map(int, status["Groups"].split())), groups_of(self.everest))
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"], status["Threads"]), ("1", "2", "1"))

    def check_launcher(self):
        status = status_of(self.manager.pid)
        needed = NET_RAW | KILL | SETGID | SETUID | SETPCAP
        self.assertEqual(masks(status),
                         {"CapInh": 0, "CapAmb": 0, "CapPrm": needed, "CapEff": needed, "CapBnd": needed})
        self.assertEqual(status["Uid"].split(), ["0"] * 4)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"], status["Threads"]), ("1", "2", "1"))

    def check_stop(self):
        socket = os.stat(self.broker.socket)
        self.assertEqual(self.manager.stop(), 0, self.manager)
        self.assertEqual(self.manager.status(), START + STOP)
        self.assert_nothing_left(self.manager, self.broker)
        after = os.stat(self.broker.socket)
        self.assertEqual((after.st_ino, after.st_mode, after.st_uid, after.st_gid),
                         (socket.st_ino, socket.st_mode, socket.st_uid, socket.st_gid))
        self.assertEqual(self.manager.output, "")

    def check_charger(self, prefix, config, modules, capable):
        self.broker.start()
        self.observer = self.broker.observe()
        reports = self.start_charger(prefix, config, modules)
        for module, report in reports.items():
            self.check_inside(module, report, NET_RAW if module == capable else 0)
        self.assertEqual(self.broker.retained(), {})
        self.check_manager()
        self.check_launcher()
        self.check_stop()
        return reports

    def setUp(self):
        super().setUp()
        self.broker = Broker(self, start=False)


class Small(Charger):
    """The same on a prefix that needs nobody's data."""

    def test_three_modules(self):
        prefix = Prefix.small(self.scratch / "prefix", ["Thing", "EvseSlac"])
        config = prefix.configure({"one": "Thing", "two": "Thing",
                                   "slac": {"module": "EvseSlac", "capabilities": ["cap_net_raw"]}},
                                  run_as_user="everest", **self.broker.settings)
        reports = self.check_charger(prefix, config, ["one", "two", "slac"], "slac")
        self.assertEqual(reports["one"]["argv"],
                         ["one:Thing", "--prefix", str(prefix.path), "--module", "one", "--log_config",
                          str(prefix.configs / "default_logging.cfg"), "--mqtt_everest_prefix", "everest/",
                          "--mqtt_external_prefix", "", "--mqtt_broker_socket_path", str(self.broker.socket)])

    def test_variables_of_belay_yaml(self):
        """They reach the module that they are given to, and no other."""
        prefix = Prefix.small(self.scratch / "prefix")
        prefix.write("etc/everest/belay.yaml",
                     "modules: {one: {environment: {HTTPS_PROXY: 'http://proxy', LANG: C},"
                     " pass_environment: [SSH_AUTH_SOCK, LANG, NOT_SET]}}\n")
        config = prefix.configure({"one": "Thing", "two": "Thing"}, run_as_user="everest", **self.broker.settings)
        self.broker.start()
        self.observer = self.broker.observe()
        reports = self.start_charger(prefix, config, ["one", "two"])
        added = {"HTTPS_PROXY": "http://proxy", "LANG": "C", "SSH_AUTH_SOCK": WITHHELD["SSH_AUTH_SOCK"]}
        self.assertEqual(reports["one"]["environment"], self.environment() | added)
        self.assertEqual(reports["two"]["environment"], self.environment())
        self.check_stop()

    def test_standard_input_stays_with_root(self):
        """Root's terminal is nothing that the user of the modules may read from."""
        prefix = Prefix.small(self.scratch / "prefix")
        self.broker.start()
        config = prefix.configure({"one": "Thing"}, run_as_user="everest", **self.broker.settings)
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, write_end)
        self.addCleanup(os.close, read_end)
        manager = self.start(prefix, config, stdin=read_end).wait_for("ALL_MODULES_STARTED")
        for pid in (manager.manager_pid(), *manager.module_pids().values()):
            self.assertEqual(os.readlink(f"/proc/{pid}/fd/0"), "/dev/null")
        self.assertEqual(manager.stop(), 0, manager)

    def test_resource_limits(self):
        prefix = Prefix.small(self.scratch / "prefix")
        prefix.write("etc/everest/belay.yaml",
                     "modules:\n  one:\n    limits: {LimitNOFILE: \"64:128\", LimitCORE: 0}\n")
        self.broker.start()
        self.observer = self.broker.observe()
        config = prefix.configure({"one": "Thing"}, run_as_user="everest", **self.broker.settings)
        report = self.start_charger(prefix, config, ["one"])["one"]
        self.assertEqual(report["limits"]["NOFILE"], [64, 128])
        self.assertEqual(report["limits"]["CORE"], [1, 1])  # see launcher/plan.hpp
        self.check_stop()


@harness.needs_everest
class Everest(Charger):
    """EVerest's own configurations."""

    def check_configuration(self, name, capable, count):
        prefix = Prefix.everest(self.scratch / "prefix")
        config = self.derive(prefix, name, self.broker, capable)
        self.check_charger(prefix, config, self.modules_of(prefix, config, count), capable)

    def modules_of(self, prefix, config, count):
        dumped = self.scratch / "dump"
        subprocess.run([prefix.path / "bin/manager", "--prefix", prefix.path, "--check", "--dump", dumped, "--config",
                        config], check=True, stderr=subprocess.DEVNULL)
        modules = list(harness.json.loads((dumped / "config.json").read_text()))
        self.assertEqual(len(modules), count)
        return modules

    def test_17_modules(self):
        self.check_configuration("config-sil", "slac", 17)

    def test_27_modules(self):
        self.check_configuration("config-sil-ocpp-multi", "slac", 27)


if __name__ == "__main__":
    harness.main()
