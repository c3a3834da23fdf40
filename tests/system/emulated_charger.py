# SPDX-License-Identifier: Apache-2.0
"""A charger in the emulated machine: a broker on a Unix socket, this build's manager, and stand-ins."""

import json
import subprocess

import harness
import machine

CONFIG = "/opt/everest/etc/everest/charger.yaml"

# Functions for the script of the machine, and the broker.
PRELUDE = """
fact() { echo "fact $1 $2"; }
await() {
    n=0
    until eval "$1"; do
        n=$((n + 1))
        [ $n -lt 300 ] || { fact timeout "$1"; return; }
        sleep 0.1
    done
}
uptime_ms() { read -r up idle </proc/uptime; echo "${up%.*}${up#*.}0"; }
echo # what the firmware wrote ends here
mkdir -p /run/broker && chown mosquitto:everest /run/broker && chmod 2755 /run/broker
mosquitto -c /etc/mosquitto.conf &
await '[ -S /run/broker/mosquitto.sock ]'
"""

SETTINGS = {"run_as_user": "everest", "mqtt_broker_socket_path": "/run/broker/mosquitto.sock"}


def lay_out(directory):
    """The machine's files but for a configuration, and the prefix in it."""
    image = machine.Image(directory / "root")
    prefix = harness.Prefix.small(image.root / "opt/everest")
    for program in ("bin/manager", "libexec/everest/launcher", "libexec/everest/standin"):
        image.libraries(prefix.path / program)
    for program in [*(prefix.path / "bin").iterdir(), *(prefix.path / "libexec/everest").rglob("*")]:
        if program.is_file() and program.read_bytes()[:4] == b"\x7fELF":
            subprocess.run(["strip", program], check=True)
    image.program("/usr/sbin/mosquitto", "usr/bin/mosquitto")
    image.write("etc/passwd", "root:x:0:0::/:/bin/sh\nmosquitto:x:100:100::/:/bin/sh\n"
                              "everest:x:101:101::/home/everest:/bin/sh\n")
    image.write("etc/group", "root:x:0:\nmosquitto:x:100:\neverest:x:101:\n")
    image.write("etc/mosquitto.conf", "user mosquitto\nallow_anonymous true\npersistence false\nlog_type error\n"
                                      "listener 0 /run/broker/mosquitto.sock\n")
    return image, prefix


def build(directory, modules, policies, behaviours=None):
    """The machine's files. `modules`: id → name of a module, `policies`: `modules` of belay.yaml."""
    image, prefix = lay_out(directory)
    prefix.behave(**(behaviours or {}))
    prefix.write("etc/everest/belay.yaml", json.dumps({"modules": policies}))
    prefix.configure(modules, **SETTINGS)
    return image
