# SPDX-License-Identifier: Apache-2.0
"""A clock that jumps by years, as on a board without a battery when the network comes: nothing that waits for a time is
early or late by it. Only an emulated machine has a clock that may be set."""

import pathlib
import re
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "integration"))

import emulated_charger  # noqa: E402
import harness  # noqa: E402
import machine  # noqa: E402

PATIENCE = 110  # seconds, for the whole life of the machine
DELAY_MS, STARTUP_MS, SHUTDOWN_MS = 1500, 2000, 2500
LATE_MS = 4000  # how much later than due things may happen on a slow machine
YEARS_AHEAD, YEARS_BEHIND, TODAY = "2090-01-01 00:00:00", "1971-01-01 00:00:00", "2026-11-24 12:00:00"

AGAIN = {"policy": "always", "delay": DELAY_MS / 1000, "max_delay": DELAY_MS / 1000, "burst": 100}
POLICIES = {"store": {"restart": AGAIN},
            "late": {"restart": AGAIN, "startup": {"timeout": STARTUP_MS / 1000}},
            "deaf": {"shutdown": {"timeout": SHUTDOWN_MS / 1000}}}
BEHAVIOURS = {"deaf": {"ignore_term": True}, "late": {"never_ready": True}}

SCRIPT = emulated_charger.PRELUDE + f"""
/opt/everest/bin/manager --prefix /opt/everest --config {emulated_charger.CONFIG} >/run/log 2>&1 &
launcher=$!
pid_of() {{ grep -ls "^$1:Thing" /proc/[0-9]*/cmdline | cut -d/ -f3; }}
lines() {{ grep -c "$1" /run/log; }}

# A restart after a delay: between the end of one and the next.
for year in "{YEARS_AHEAD}" "{YEARS_BEHIND}" "{TODAY}"; do
    await '[ -n "$(pid_of store)" ]'
    before=$(pid_of store)
    kill -9 $before
    begin=$(uptime_ms)
    date -s "$year" >/dev/null
    await '[ -n "$(pid_of store)" ] && [ "$(pid_of store)" != "$before" ]'
    fact delay $(($(uptime_ms) - begin))
done

# A module that is not ready in time, again and again: between two such ends lie its time and the delay.
known=$(lines "late.*not ready within")
await '[ $(lines "late.*not ready within") -gt $known ]'
known=$(lines "late.*not ready within")
begin=$(uptime_ms)
date -s "{YEARS_AHEAD}" >/dev/null
await '[ $(lines "late.*not ready within") -gt $known ]'
fact startup $(($(uptime_ms) - begin))

# A stop that one module is deaf to.
kill -INT $launcher
begin=$(uptime_ms)
await 'grep -q "terminating" /run/log'
date -s "{YEARS_BEHIND}" >/dev/null
wait $launcher
fact code $?
fact shutdown $(($(uptime_ms) - begin))
fact broker "$(lines "broker.*lost\\|connection to the MQTT broker")"
cat /run/log
"""


class Clock(harness.unittest.TestCase):
    def assert_in_time(self, took, due, console):
        self.assertGreater(took, due * 0.9 - 50, console)  # a delay is a tenth more or less by chance
        self.assertLess(took, due + LATE_MS, console)

    def test_jumps(self):
        kernel = machine.provide_kernel()
        with tempfile.TemporaryDirectory(prefix="belay-machine-") as directory:
            image = emulated_charger.build(pathlib.Path(directory), dict.fromkeys(POLICIES, "Thing"), POLICIES, BEHAVIOURS)
            console = image.boot(SCRIPT, kernel, PATIENCE)
        facts = re.findall(r"^fact (\S+) (.*)$", console, re.MULTILINE)
        one = dict(facts)
        self.assertNotIn("timeout", one, console)
        delays = [int(value) for name, value in facts if name == "delay"]
        self.assertEqual(len(delays), 3, console)
        for took in delays:
            self.assert_in_time(took, DELAY_MS, console)
        self.assert_in_time(int(one["startup"]), STARTUP_MS + DELAY_MS, console)
        self.assert_in_time(int(one["shutdown"]), SHUTDOWN_MS, console)
        self.assertEqual((one["code"], one["broker"]), ("0", "0"), console)


if __name__ == "__main__":
    if not machine.available():
        print(f"skipped: needs {machine.QEMU} on x86-64")
        sys.exit(77)
    harness.main()
