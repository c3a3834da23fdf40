# SPDX-License-Identifier: Apache-2.0
"""The hardware watchdog, in a machine that it really resets: each phase but the last ends with a reset, and the next one
asks why there was one. A disk keeps the phase and the charger's record."""

import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "integration"))

import emulated_charger  # noqa: E402
import harness  # noqa: E402
import machine  # noqa: E402

TIMEOUT = 8  # seconds until the hardware resets the machine
PATIENCE = 340  # seconds, for all boots of the machine together
DISK_MB = 64
DRIVERS = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "watchdog", "i6300esb", "softdog", "pretimeout_noop",
           "pretimeout_panic")

MODULES = {"steady": "Thing", "example": "Thing"}
AGAIN = {"policy": "on-failure", "delay": 0.1}

# Writes to a file system for as long as it can.
WRITER = "#!/bin/sh\nwhile :; do echo more >/frozen/file; done\n"

SCRIPT = """
export PATH=/bin:/usr/bin
fact() { echo "fact $phase/$1 $2"; }
await() {
    n=0
    until eval "$1"; do
        n=$((n + 1))
        [ $n -lt 300 ] || { fact timeout "$1"; poweroff -f; }
        sleep 0.1
    done
}
uptime_ms() { read -r up _ </proc/uptime; echo "${up%.*}${up#*.}0"; }
driver() { insmod /lib/modules/$1.ko $2 || fact insmod "$1"; }
belay() { /opt/everest/bin/manager --prefix /opt/everest "$@"; }
policy() { echo "{$1, \\"modules\\": $2}" >/opt/everest/etc/everest/belay.yaml; }
device() { echo "\\"watchdog\\": {\\"device\\": \\"/dev/watchdog0\\", \\"timeout\\": @TIMEOUT@, \\"heartbeat\\": 0.5$1}"; }
start() {
    : >/run/log # the one before is not waited for
    /opt/everest/bin/manager --prefix /opt/everest --config charger >/run/log 2>&1 &
    launcher=$!
    await 'grep -q "all modules ready" /run/log'
}
child() { # of the launcher, by its argument 0
    for pid in $(cat /proc/$launcher/task/$launcher/children); do
        case "$(tr "\\\\0" " " </proc/$pid/cmdline)" in "$1"*) echo $pid ;; esac
    done 2>/dev/null
}
stopped() { grep -q "^State:.T" /proc/$1/status; }
suspend() { kill -STOP $1; await "stopped $1"; }
next() { # what follows is the reset, and then that phase
    echo $1 >/disk/phase
    sync
    fact reset/begin $(uptime_ms)
    n=0
    while [ $n -lt 300 ]; do
        n=$((n + 1))
        echo "alive $phase $(uptime_ms)"
        sleep 0.1
    done
    fact timeout "the reset"
    poweroff -f
}
refused() { # NAME CONFIGURATION…: the code, and what was said
    policy "$2" "{}"
    belay --config charger >/run/refused 2>&1
    fact $1/code $?
    sed "s|^|said $phase/$1 |" /run/refused
}
attribute() { cat /sys/class/watchdog/watchdog0/$1; }

phase=boot
for path in @DISK_DRIVERS@; do insmod $path || fact insmod $path; done
mkdir -p /disk
await '[ -b /dev/vda ]'
mount -t ext4 /dev/vda /disk || fact mount failed
phase=$(cat /disk/phase 2>/dev/null || echo 0)
mkdir -p /disk/state
export STATE_DIRECTORY=/disk/state
mkdir -p /run/broker && chown mosquitto:everest /run/broker && chmod 2755 /run/broker
mosquitto -c /etc/mosquitto.conf &
await '[ -S /run/broker/mosquitto.sock ]'
again='"restart": {"policy": "on-failure", "delay": 0.1}'
echo # what the firmware wrote ends here
echo "phase $phase"
belay --last-reset | sed "s|^|said $phase/last-reset |"

case $phase in
0)
    refused missing "$(device)"
    driver watchdog; driver pretimeout_noop; driver pretimeout_panic; driver i6300esb
    await '[ -c /dev/watchdog0 ]'
    refused too-long '"watchdog": {"device": "/dev/watchdog0", "timeout": 3000}'
    fact too-long/state $(attribute state)
    refused governor "$(device ', "pretimeout": 1, "pretimeout_governor": "pray"')"
    fact governor/state $(attribute state)
    exec 3>/dev/watchdog0
    refused busy "$(device)"
    printf V >&3
    exec 3>&-

    # With systemd's watchdog, a busy one is no obstacle.
    exec 3>/dev/watchdog0
    policy "$(device)" "{}"
    export WATCHDOG_USEC=10000000
    start
    unset WATCHDOG_USEC
    sed "s|^|said 0/shared |" /run/log
    kill -TERM $launcher; wait $launcher
    printf V >&3
    exec 3>&-

    # A stop in order, with everything that can be set.
    policy "$(device ', "pretimeout": 1, "pretimeout_governor": "noop"')" "{}"
    start
    fact order/state $(attribute state)
    fact order/timeout $(attribute timeout)
    fact order/pretimeout $(attribute pretimeout)
    fact order/governor $(attribute pretimeout_governor)
    for pid in $(cat /proc/$launcher/task/$launcher/children); do ls -l /proc/$pid/fd; done | grep -c watchdog >/run/count
    fact order/leaked $(cat /run/count)
    fact order/held $(ls -l /proc/$launcher/fd | grep -c "/dev/watchdog0")
    kill -HUP $launcher
    await '[ $(grep -c "all modules ready" /run/log) = 2 ]'
    fact order/reloaded $(attribute state)
    kill -TERM $launcher; wait $launcher
    fact order/code $?
    fact order/stopped $(attribute state)
    end=$(($(uptime_ms) + @TIMEOUT@000 + 1000))
    await '[ $(uptime_ms) -gt $end ]'
    fact order/alive yes

    # A module hangs: the machine is not what must be reset.
    policy "$(device)" "{\\"*\\": {$again, \\"liveness\\": {\\"stuck_after\\": 0.6}}}"
    start
    suspend $(child example:)
    await 'grep -q "ended: hung .*restart 1 of 5" /run/log'
    await 'grep -q "a module is ready again" /run/log'
    fact hang/aborted $(grep -c "hangs: stopped (state T)" /run/log)

    # The manager hangs: the launcher stops all modules and ends; nobody starts it again.
    manager=$(child /opt/everest/bin/manager)
    suspend $manager
    await '! kill -0 $launcher 2>/dev/null'
    wait $launcher
    fact manager/code $?
    fact manager/left $(ps -o user | grep -c everest)
    fact manager/state $(attribute state)
    sed "s|^|said 0/manager |" /run/log
    next 1
    ;;
1)
    driver watchdog; driver i6300esb
    await '[ -c /dev/watchdog0 ]'
    belay --last-reset | sed "s|^|said 1/known |"
    policy "$(device)" "{}"
    start
    sed "s|^|said 1/start |" /run/log
    suspend $launcher
    next 2
    ;;
2)
    driver watchdog; driver i6300esb nowayout=1
    await '[ -c /dev/watchdog0 ]'
    policy "$(device)" "{}"
    start
    belay --last-reset | sed "s|^|said 2/known |"
    kill -TERM $launcher; wait $launcher
    fact nowayout/code $?
    fact nowayout/state $(attribute state)
    sed "s|^|said 2/nowayout |" /run/log
    next 3
    ;;
3)
    driver watchdog; driver i6300esb
    await '[ -c /dev/watchdog0 ]'
    await '[ -b /dev/vdb ]'
    mkdir -p /frozen
    mount -t ext4 /dev/vdb /frozen && chmod 777 /frozen || fact mount frozen
    # So long that the launcher comes to the last step.
    policy "$(device | sed 's/: @TIMEOUT@/: 15/')" "{\\"*\\": {\\"shutdown\\": {\\"timeout\\": 0.5}, \\"liveness\\": {\\"stuck_after\\": 0.6}}}"
    /opt/everest/bin/manager --prefix /opt/everest --config writer >/run/log 2>&1 &
    launcher=$!
    await '[ -s /frozen/file ]'
    belay --last-reset | sed "s|^|said 3/known |"
    # Whoever writes now waits in the kernel, and nothing but a thaw would end that.
    fsfreeze --freeze /frozen
    await 'grep -q "survives SIGKILL: it is stuck in the kernel" /run/log'
    await 'grep -q "launcher: what survives SIGKILL only a reset ends" /run/log'
    fact frozen/launcher $(kill -0 $launcher && echo waits)
    sed "s|^|said 3/frozen |" /run/log
    next 4
    ;;
4)
    driver watchdog; driver i6300esb
    await '[ -c /dev/watchdog0 ]'
    belay --last-reset | sed "s|^|said 4/known |"
    fact done yes
    ;;
esac
"""


class Watchdog(harness.unittest.TestCase):
    maxDiff = None

    def build(self, directory, kernel):
        image, prefix = emulated_charger.lay_out(directory)
        prefix.script("Writer", "Writer", WRITER)
        prefix.configure(MODULES, **emulated_charger.SETTINGS)
        prefix.configure({"steady": "Thing", "writer": "Writer"}, "writer", **emulated_charger.SETTINGS)
        paths = image.kernel_modules(kernel, *DRIVERS)
        self.script = SCRIPT.replace("@TIMEOUT@", str(TIMEOUT)).replace(
            "@DISK_DRIVERS@", " ".join(paths[:paths.index("/lib/modules/ext4.ko") + 1]))
        return image

    def disk(self, directory, name):
        path = directory / name
        with open(path, "wb") as file:
            file.truncate(DISK_MB << 20)
        subprocess.run(["/usr/sbin/mke2fs", "-q", "-t", "ext4", path], check=True)
        return f"file={path},format=raw,if=virtio"

    def assert_reset(self, phase, spare=0):
        """The machine was reset within the timeout of the last feeding, which was not after the phase came to wait."""
        begin = int(self.one[f"{phase}/reset/begin"])
        last = max(int(time) for one, time in re.findall(r"^alive (\d) (\d+)$", self.console, re.M) if one == phase)
        self.assertLessEqual(last - begin, (TIMEOUT + spare) * 1000 + 1000, self.console)

    def said(self, what):
        return "\n".join(re.findall(rf"^said {what} (.*)$", self.console, re.MULTILINE))

    def test_reset(self):
        kernel = machine.provide_kernel("amd64")
        with harness.tempfile.TemporaryDirectory(prefix="belay-machine-") as directory:
            directory = pathlib.Path(directory)
            image = self.build(directory, kernel)
            self.console = image.boot(self.script, kernel, PATIENCE, "-device", "i6300esb", "-action", "watchdog=reset",
                                      "-drive", self.disk(directory, "disk"), "-drive", self.disk(directory, "frozen"),
                                      resets=True)
        self.one = dict(re.findall(r"^fact (\S+) (.*)$", self.console, re.MULTILINE))
        with self.subTest("nothing was waited for in vain"):
            self.assertEqual([name for name in self.one if re.fullmatch("[^/]*/(timeout|insmod|mount)", name)], [],
                             self.console)
            self.assertEqual(re.findall(r"^phase (\d)$", self.console, re.M), list("01234"), self.console)
            self.assertEqual(self.one.get("4/done"), "yes", self.console)
        with self.subTest("a device that cannot be used is refused, and left as it was"):
            for name in ("missing", "too-long", "governor", "busy"):
                self.assertEqual(self.one[f"0/{name}/code"], "1", self.console)
            self.assertIn("the watchdog /dev/watchdog0: it is not there", self.said("0/missing"))
            self.assertIn("the watchdog /dev/watchdog0: its driver refuses a timeout of 3000 s: Invalid argument; choose "
                          "another `timeout` in belay.yaml", self.said("0/too-long"))
            self.assertEqual(self.one["0/too-long/state"], "inactive", self.console)
            self.assertRegex(self.said("0/governor"), "the governor `pray` could not be chosen: .*there are: .*noop")
            self.assertEqual(self.one["0/governor/state"], "inactive", self.console)
            self.assertIn("it is busy: another program feeds it. If that is systemd (RuntimeWatchdogSec=), let systemd "
                          "watch this service: WatchdogSec= in its unit; otherwise end that program", self.said("0/busy"))
        with self.subTest("a busy device is no obstacle where systemd watches"):
            self.assertIn("/dev/watchdog0 is busy: systemd does not run here; another program feeds it",
                          self.said("0/shared"))
            self.assertIn("systemd ends this service after 10 s without a heartbeat (WatchdogSec=)", self.said("0/shared"))
        with self.subTest("a stop in order"):
            self.assertEqual({name: value for name, value in self.one.items() if name.startswith("0/order/")},
                             {"0/order/state": "active", "0/order/timeout": str(TIMEOUT), "0/order/pretimeout": "1",
                              "0/order/governor": "noop", "0/order/leaked": "0", "0/order/held": "1",
                              "0/order/reloaded": "active", "0/order/code": "0", "0/order/stopped": "inactive",
                              "0/order/alive": "yes"}, self.console)
        with self.subTest("a module that hangs, and then the manager"):
            self.assertEqual(self.one["0/hang/aborted"], "1", self.console)
            self.assertEqual((self.one["0/manager/code"], self.one["0/manager/left"], self.one["0/manager/state"]),
                             ("1", "0", "active"), self.console)
            self.assertIn(f"launcher: the watchdog runs on: the machine is reset within {TIMEOUT} s unless this service "
                          "is started again", self.said("0/manager"))
            self.assert_reset("0")
        with self.subTest("its reason after the next boot"):
            for said in (self.said("1/known"), self.said("1/start")):
                self.assertIn("The watchdog has reset the machine (WDIOC_GETBOOTSTATUS: CARDRESET).", said, self.console)
                self.assertRegex(said, r"UTC abort-module example \(pid \d+\): stopped \(state T\) for")
                self.assertRegex(said, r"UTC restart-module example")
                self.assertIn(f"UTC stop-all the manager did not vouch for the modules for {TIMEOUT / 2} s", said)
        with self.subTest("the launcher hangs"):
            self.assert_reset("1")
            self.assertIn("(WDIOC_GETBOOTSTATUS: CARDRESET)", self.said("2/known"))
            self.assertIn("No step was taken before", self.said("2/known"))
        with self.subTest("nowayout"):
            self.assertEqual((self.one["2/nowayout/code"], self.one["2/nowayout/state"]), ("0", "active"), self.console)
            self.assertIn(f"the watchdog cannot be stopped (nowayout): the machine is reset within {TIMEOUT} s unless "
                          "somebody feeds it", self.said("2/nowayout"))
            self.assert_reset("2")
            self.assertIn("The charger was stopped in order before: the watchdog cannot be stopped (nowayout)",
                          self.said("3/known"))
        with self.subTest("what survives SIGKILL"):
            self.assertIn("writer (pid", self.said("3/frozen"))
            self.assertRegex(self.said("3/frozen"), r"hangs: .*waiting in the kernel without progress \(state D\)")
            self.assertEqual(self.one["3/frozen/launcher"], "waits", self.console)
            self.assert_reset("3", 15 - TIMEOUT)
            self.assertRegex(self.said("4/known"), r"UTC exit writer \(pid \d+\): survives SIGKILL")
            self.assertIn("UTC stop-feeding some processes survive SIGKILL", self.said("4/known"))


if __name__ == "__main__":
    if not machine.available():
        print(f"skipped: needs {machine.QEMU} on x86-64")
        sys.exit(77)
    harness.main()
