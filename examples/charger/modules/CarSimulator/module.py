# SPDX-License-Identifier: Apache-2.0
"""A vehicle: away, plugged in, charging, full, and away again."""

import time

from everest_kit import Module

FULL_S = 0.5  # from the end of charging to pulling the plug

module = Module()


class Car:
    def __init__(self):
        self.go_on("away")

    def go_on(self, state):
        self.state, self.since = state, time.monotonic()

    def live(self):
        elapsed = time.monotonic() - self.since
        if self.state == "away" and elapsed >= module.config["away_s"]:
            module.call("socket", "plug_in")
            self.go_on("plugged in")
        elif self.state == "charging" and elapsed >= module.config["charge_s"]:
            module.call("socket", "request_power", ampere=0)
            self.go_on("full")
        elif self.state == "full" and elapsed >= FULL_S:
            module.call("socket", "unplug")
            self.go_on("away")

    def on_max_current(self, ampere):
        if ampere > 0 and self.state == "plugged in":
            wanted = min(ampere, module.config["max_current_A"])
            module.log(f"I may draw {ampere:.0f} A and take {wanted:.0f} A")
            module.call("socket", "request_power", ampere=wanted)
            self.go_on("charging")


car = Car()
module.variable("socket", "max_current")(car.on_max_current)
module.every(0.1)(car.live)
module.run()
