# SPDX-License-Identifier: Apache-2.0
"""Limits of memory, processes and CPU time in control groups, in a machine with cgroup v2 and nothing else."""

import json
import os
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "integration"))

import emulated_charger  # noqa: E402
import harness  # noqa: E402
import machine  # noqa: E402

GROUP = "/sys/fs/cgroup/belay"
CONFIG = "/opt/everest/etc/everest/charger.yaml"
PATIENCE = 55  # seconds, for the whole life of the machine

MODULES = {"steady": "Thing", "hog": "Hog", "forker": "Forker"}
AGAIN = {"policy": "always", "delay": 0.5, "max_delay": 0.5, "burst": 1000}
POLICIES = {
    "steady": {"limits": {"MemoryMax": "64M", "MemoryHigh": "48M", "TasksMax": 30, "CPUWeight": 50, "CPUQuota": "150%"}},
    "hog": {"limits": {"MemoryMax": "16M"}, "restart": AGAIN},
    "forker": {"limits": {"TasksMax": 20}, "restart": AGAIN},
}

SCRIPT = f"""
G={GROUP}
fact() {{ echo "fact $1 $2"; }}
await() {{
    n=0
    until eval "$1"; do
        n=$((n + 1))
        [ $n -lt 300 ] || {{ fact timeout "$1"; return; }}
        sleep 0.1
    done
}}
main_of() {{
    for pid in $(cat $G/$1.module/run/cgroup.procs); do
        grep -q "^PPid:.$launcher$" /proc/$pid/status && echo $pid
    done 2>/dev/null
}}
echo # what the firmware wrote ends here
mkdir -p /run/broker && chown mosquitto:everest /run/broker && chmod 2755 /run/broker
mosquitto -c /etc/mosquitto.conf &
await '[ -S /run/broker/mosquitto.sock ]'
echo "+cpu +memory +pids" >/sys/fs/cgroup/cgroup.subtree_control
delegate $G /opt/everest/bin/manager --prefix /opt/everest --config {CONFIG} >/run/log 2>&1 &
launcher=$!

await '[ -n "$(main_of steady)" ]'
steady=$(main_of steady)
for file in memory.max memory.high pids.max cpu.weight cpu.max memory.oom.group; do
    fact steady/$file "$(cat $G/steady.module/$file)"
done
fact group/steady "$(cat /proc/$steady/cgroup)"
fact group/launcher "$(cat /proc/$launcher/cgroup)"
fact group/processes "$(cat $G/cgroup.procs | wc -l)"
fact group/controllers "$(cat $G/cgroup.subtree_control)"

await '[ $(grep -c "hog.*ended: killed by the kernel" /run/log) -ge 2 ]'

await 'grep -q "max [1-9]" $G/forker.module/pids.events'
for i in 1 2 3 4 5 6 7 8 9 10; do fact forker/pids "$(cat $G/forker.module/pids.current)"; done
for i in 1 2; do
    await '[ -n "$(main_of forker)" ]'
    pid=$(main_of forker)
    kill -9 $pid
    await 'grep -q "forker (pid $pid)\\|forker (pid [0-9]*): ended" /run/log && [ "$(main_of forker)" != $pid ] && [ -n "$(main_of forker)" ]'
done
fact forker/ends "$(grep -c "forker (pid [0-9]*): ended" /run/log)"
fact steady/same "$([ "$(main_of steady)" = $steady ] && echo yes)"

kill -INT $launcher
wait $launcher
fact end/code $?
fact end/groups "$(find $G -type d | wc -l)"
fact end/everest "$(ps -o user | grep -c everest)"
cat /run/log
"""


class Cgroup(harness.unittest.TestCase):
    def build(self, directory):
        image, prefix = emulated_charger.lay_out(directory)
        prefix.script("Hog", "Hog", "#!/bin/sh\nexec hog 300\n")
        prefix.script("Forker", "Forker", "#!/bin/sh\nexec chain 30 600\n")
        for name in ("chain", "delegate", "hog"):
            image.program(os.environ[f"BELAY_{name.upper()}"], f"usr/bin/{name}")
        prefix.write("etc/everest/belay.yaml", json.dumps({"modules": POLICIES}))
        prefix.configure(MODULES, **emulated_charger.SETTINGS)
        return image

    def test_limits(self):
        kernel = machine.provide_kernel()
        with harness.tempfile.TemporaryDirectory(prefix="belay-machine-") as directory:
            console = self.build(pathlib.Path(directory)).boot(SCRIPT, kernel, PATIENCE)
        facts = {}
        for name, value in re.findall(r"^fact (\S+) (.*)$", console, re.MULTILINE):
            facts.setdefault(name, []).append(value)
        one = {name: values[0] for name, values in facts.items()}
        with self.subTest("nothing was waited for in vain"):
            self.assertNotIn("timeout", facts, console)
        with self.subTest("what belay.yaml says is what the kernel has"):
            self.assertEqual({name: value for name, value in one.items() if re.match(r"steady/(memory|pids|cpu)", name)},
                             {"steady/memory.max": str(64 << 20), "steady/memory.high": str(48 << 20),
                              "steady/pids.max": "30", "steady/cpu.weight": "50", "steady/cpu.max": "150000 100000",
                              "steady/memory.oom.group": "1"}, console)
        with self.subTest("who is where"):
            self.assertEqual(one["group/steady"], "0::/belay/steady.module/run", console)
            self.assertEqual(one["group/launcher"], "0::/belay/supervisor")
            self.assertEqual(one["group/processes"], "0")
            self.assertEqual(one["group/controllers"], "cpu memory pids")
        with self.subTest("an end for want of memory is told from others, and restarted"):
            self.assertRegex(console, r"hog \(pid \d+\): ended: killed by the kernel: out of memory \(memory.max 16M\); restart")
            self.assertNotIn("nobody stopped me", console)
        with self.subTest("chains of processes are bounded, and end with their module"):
            self.assertLessEqual(max(map(int, facts["forker/pids"])), 20)
            self.assertRegex(console, r"forker \(pid \d+\): ended: killed by SIGKILL \(9\); restart")
            self.assertGreaterEqual(int(one["forker/ends"]), 2)
        with self.subTest("the others run on"):
            self.assertEqual(one["steady/same"], "yes", console)
        with self.subTest("nothing is left"):
            self.assertEqual((one["end/code"], one["end/groups"], one["end/everest"]), ("0", "1", "0"), console)


if __name__ == "__main__":
    if not machine.available():
        print(f"skipped: needs {machine.QEMU} on x86-64")
        sys.exit(77)
    harness.main()
